"""mini-SWE-agent, a coding agent that calls a shell, by LiteLLM."""

import pathlib
import subprocess
import sys

from capability import *

AGENT = SCRIPT["agent"]
MINI = pathlib.Path(sys.executable).parent / "mini"


def mini(folder):
    """Lets the agent work in a folder, and returns its trajectory."""
    folder = pathlib.Path.cwd() / folder
    folder.mkdir()
    settings = {
        "model.model_kwargs.api_base": f"{URL}/v1",
        "model.model_kwargs.api_key": KEY,
        "model.cost_tracking": "ignore_errors",
        "agent.instance_template": "{{task}}",
        "agent.system_template": "You work in a shell.",
        "agent.confirm_exit": "false",
    }
    options = [option for name, value in settings.items() for option in ["-c", f"{name}={value}"]]
    command = [MINI, "--yolo", "--exit-immediately", "-m", f"openai/{MODEL}", "-t", AGENT["question"], "-o", folder / "said.json"]
    environment = os.environ | {"MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1"}
    done = subprocess.run(
        [*command, "-c", "mini.yaml", *options], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    print(done.stdout, done.stderr, file=sys.stderr)
    equal((folder / "ledger.txt").read_text(), "ledger")
    return json.loads((folder / "said.json").read_text())["info"]["exit_status"]


def tool_loop():
    equal(mini("first"), "Submitted")


run(tool_loop)
