"""The clients, and how one of them is run: with a Reprise of its own before fixtures of its own."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import claude
import install

KEY = "the-key-of-the-clients"
# Longest time for all capabilities of a client, in seconds.
TIMEOUT = 600
# Longest time for the start of a Reprise, in seconds.
START_TIMEOUT = 120
LOG = ["--log-format", "json"]


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    title: str
    # The API that it speaks, of those in claude.py.
    api: str
    # What it is installed from: a lock file of Python, or a folder of npm.
    place: str
    # The program that runs its capabilities.
    program: str
    # The packages whose versions the page names.
    packages: tuple[str, ...]
    # Its setting for Reprise, for the page.
    setup: str


@dataclasses.dataclass
class Result:
    client: Client
    versions: list[str]
    # By capability: `works`, `differs` or `fails`, and in what.
    capabilities: dict[str, tuple[str, str | None]]
    # Whether its program came to its end.
    ended: bool
    log: str
    seconds: float

    def has_failed(self):
        return not self.ended or any(result == "fails" for result, _ in self.capabilities.values())

    def failures(self):
        if self.has_failed():
            yield f"\n== {self.client.title}\n{self.log}"


MAIN, NODE = "python/main.txt", "node"
OPENAI = "`base_url` with `/v1`"
ANTHROPIC = "`base_url` without `/v1`"
ALL = [
    Client(
        "openai_sdk", "OpenAI SDK, Python", "chat", MAIN, "python/openai_sdk.py",
        ("openai",),
        OPENAI,
    ),
    Client(
        "anthropic_sdk", "Anthropic SDK, Python", "messages", MAIN, "python/anthropic_sdk.py",
        ("anthropic",),
        ANTHROPIC,
    ),
    Client(
        "langchain_openai_chat", "LangChain, `ChatOpenAI`", "chat", MAIN, "python/langchain_openai_chat.py",
        ("langchain-openai", "langchain"),
        OPENAI,
    ),
    Client(
        "langchain_anthropic_chat", "LangChain, `ChatAnthropic`", "messages", MAIN, "python/langchain_anthropic_chat.py",
        ("langchain-anthropic", "langchain"),
        ANTHROPIC,
    ),
    Client(
        "pydantic_ai_agent", "Pydantic AI", "chat", MAIN, "python/pydantic_ai_agent.py",
        ("pydantic-ai-slim",),
        "`OpenAIChatModel`, `OpenAIProvider(base_url=…)`",
    ),
    Client(
        "instructor_sdk", "instructor", "chat", "python/instructor.txt", "python/instructor_sdk.py",
        ("instructor",),
        "`instructor.from_openai(…)`",
    ),
    Client(
        "litellm_sdk", "LiteLLM SDK", "chat", MAIN, "python/litellm_sdk.py",
        ("litellm",),
        "`openai/MODEL`, `api_base` with `/v1`",
    ),
    Client(
        "openai_agents", "OpenAI Agents SDK", "chat", MAIN, "python/openai_agents.py",
        ("openai-agents",),
        "`OpenAIChatCompletionsModel`: its default is another API",
    ),
    Client(
        "llm_command", "llm", "chat", MAIN, "python/llm_command.py",
        ("llm",),
        "`extra-openai-models.yaml`, `api_base` with `/v1`",
    ),
    Client(
        "mini_swe_agent", "mini-SWE-agent", "chat", MAIN, "python/mini_swe_agent.py",
        ("mini-swe-agent", "litellm"),
        "`openai/MODEL`, `model.model_kwargs.api_base` with `/v1`",
    ),
    Client(
        "claude_code", "Claude Code", "claude-code", "claude-code", "python/claude_code.py",
        ("@anthropic-ai/claude-code",),
        "`ANTHROPIC_BASE_URL` without `/v1`, `ANTHROPIC_API_KEY`",
    ),
    Client(
        "openai_node", "OpenAI SDK, TypeScript", "chat", NODE, "node/openai.mjs",
        ("openai",),
        "`baseURL` with `/v1`",
    ),
    Client(
        "anthropic_node", "Anthropic SDK, TypeScript", "messages", NODE, "node/anthropic.mjs",
        ("@anthropic-ai/sdk",),
        "`baseURL` without `/v1`",
    ),
    Client(
        "ai_sdk_compatible", "AI SDK, OpenAI-compatible", "chat", NODE, "node/ai_sdk.mjs",
        ("@ai-sdk/openai-compatible", "ai"),
        "`createOpenAICompatible`, `supportsStructuredOutputs: true`",
    ),
    Client(
        "ai_sdk_openai", "AI SDK, OpenAI", "chat", NODE, "node/ai_sdk.mjs",
        ("@ai-sdk/openai", "ai"),
        "`createOpenAI(…).chat(…)`: its default is another API",
    ),
    Client(
        "ai_sdk_anthropic", "AI SDK, Anthropic", "messages", NODE, "node/ai_sdk.mjs",
        ("@ai-sdk/anthropic", "ai"),
        "`createAnthropic`, `baseURL` with `/v1`",
    ),
    Client(
        "langchain_node", "LangChain.js, `ChatOpenAI`", "chat", NODE, "node/langchain.mjs",
        ("@langchain/openai",),
        "`configuration.baseURL` with `/v1`",
    ),
]


@contextlib.contextmanager
def served(reprise, arguments, environment, log):
    """A Reprise that serves; its address, which its log tells first."""
    with open(log, "w") as file:
        process = subprocess.Popen([reprise, *arguments, "--port", "0"], env=environment, stdout=subprocess.DEVNULL, stderr=file)
    try:
        yield f"http://{_address(process, log)}"
    finally:
        process.terminate()
        process.wait()


def _address(process, log):
    with open(log) as lines:
        deadline = time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            line = lines.readline()
            if line.endswith("\n") and (address := json.loads(line).get("address")):
                return address
            if not line:
                time.sleep(0.01)
    raise RuntimeError(f"Reprise did not start: {pathlib.Path(log).read_text()}")


def run(client, reprise):
    """Runs a client, and returns what came of each capability."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reprise-clients-") as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        environment = _environment(folder)
        claude.write(folder / "fixtures", client.api)
        replay = ["replay", folder / "fixtures", "--ignore", claude.IGNORED, *LOG]
        upstream = stack.enter_context(served(reprise, replay, environment, folder / "claude.log"))
        environment |= {
            "REPRISE_DATABASE_URL": f"sqlite://{folder}/ledger.db",
            "ANTHROPIC_BASE_URL": upstream,
            "ANTHROPIC_API_KEY": "none",
            "REPRISE_API_KEY": KEY,
        }
        url = stack.enter_context(served(reprise, ["serve", *LOG], environment, folder / "reprise.log"))
        for name in ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "REPRISE_API_KEY"]:
            del environment[name]
        environment |= {
            "REPRISE": str(reprise),
            "CLIENT_NAME": client.name,
            "CLIENT_URL": url,
            "CLIENT_KEY": KEY,
            "CLIENT_CLAUDE": upstream,
            "CLIENT_SCRIPT": str(claude.SCRIPT_FILE),
            "CLIENT_INSTALLED": str(install.target(client.place)),
        }
        command, versions = _command(client)
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
            output, log, ended = done.stdout, done.stderr, done.returncode == 0
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b"").decode()
            log, ended = f"{(late.stderr or b'').decode()}\nnot finished after {TIMEOUT} s", False
        capabilities = {}
        for line in output.splitlines():
            if line.startswith('{"capability"'):
                found = json.loads(line)
                capabilities[found["capability"]] = (found["result"], found["what"])
        log += "".join(f"\n{name}: {line}" for name in ["reprise", "claude"] for line in _told(folder / f"{name}.log"))
        return Result(client, versions, capabilities, ended, log, time.monotonic() - began)


def _told(log):
    """What a log says of calls and trouble, without the start."""
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if entry["level"] != "INFO" or entry["message"] == "call answered":
            kept = ["message", "answered_by", "outcome", "stop_reason", "error", "notes"]
            yield ", ".join(f"{name}={entry[name]}" for name in kept if name in entry)


def _environment(folder):
    """No settings of the person who runs it, and no way out through a proxy."""
    kept = {name: os.environ[name] for name in ["PATH", "LANG", "LC_ALL", "TERM"] if name in os.environ}
    loopback = "127.0.0.1,localhost"
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "NO_PROXY": loopback,
        "no_proxy": loopback,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def _command(client):
    """The command that runs a client, and the versions of its packages."""
    program = install.HERE / client.program
    if client.place.endswith(".txt"):
        lines = (install.HERE / client.place).read_text().splitlines()
        pins = dict(line.split()[0].split("==") for line in lines if "==" in line)
        command = [install.target(client.place) / "bin" / "python", program]
    else:
        lock = json.loads((install.HERE / client.place / "package-lock.json").read_text())["packages"]
        pins = {name.removeprefix("node_modules/"): package.get("version") for name, package in lock.items()}
        command = [sys.executable, program]
        if program.suffix == ".mjs":
            # Node looks for packages beside the program.
            command = ["node", install.target(client.place) / program.name]
    return command, [f"{package} {pins[package]}" for package in client.packages]
