"""The clients, and how one of them is run: with a Reprise of its own before fixtures of its own."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile
import time

import claude
import install

KEY = "the-key-of-the-clients"
# Longest time for all capabilities of a client, in seconds.
TIMEOUT = 60
LOG = ["--log-format", "json"]


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    title: str
    # The API that it speaks: `chat` or `messages`.
    api: str
    # What it is installed from: a lock file of Python, or a folder of npm.
    place: str
    # The packages whose versions the page names.
    packages: tuple[str, ...]
    # How it is set up, for the page.
    setup: str


@dataclasses.dataclass
class Result:
    client: Client
    versions: list[str]
    # By capability: `works`, `differs` or `fails`, and in what.
    capabilities: dict[str, tuple[str, str | None]]
    log: str

    def has_failed(self):
        return not self.capabilities or any(result == "fails" for result, _ in self.capabilities.values())

    def failures(self):
        if self.has_failed():
            yield f"\n== {self.client.title}\n{self.log}"


MAIN, NODE = "python/main.txt", "node"
OPENAI = "`base_url` with `/v1`"
ANTHROPIC = "`base_url` without `/v1`"
ALL = [
    Client("openai_sdk", "OpenAI SDK, Python", "chat", MAIN, ("openai",), OPENAI),
    Client("anthropic_sdk", "Anthropic SDK, Python", "messages", MAIN, ("anthropic",), ANTHROPIC),
    Client("langchain_openai_chat", "LangChain, `ChatOpenAI`", "chat", MAIN, ("langchain-openai", "langchain"), OPENAI),
    Client("langchain_anthropic_chat", "LangChain, `ChatAnthropic`", "messages", MAIN, ("langchain-anthropic", "langchain"), ANTHROPIC),
    Client("pydantic_ai_agent", "Pydantic AI", "chat", MAIN, ("pydantic-ai-slim",), "`OpenAIChatModel`, `OpenAIProvider(base_url=…)`"),
    Client("instructor_sdk", "instructor", "chat", "python/instructor.txt", ("instructor",), "`instructor.from_openai(…)`"),
    Client("litellm_sdk", "LiteLLM SDK", "chat", MAIN, ("litellm",), "`openai/MODEL`, `api_base` with `/v1`"),
    Client("openai_agents", "OpenAI Agents SDK", "chat", MAIN, ("openai-agents",), "`OpenAIChatCompletionsModel`: its default is another API"),
    Client("llm_command", "llm", "chat", MAIN, ("llm",), "`extra-openai-models.yaml`, `api_base` with `/v1`"),
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
        while process.poll() is None:
            line = lines.readline()
            if line.endswith("\n") and (address := json.loads(line).get("fields", {}).get("address")):
                return address
            if not line:
                time.sleep(0.01)
    raise RuntimeError(f"Reprise did not start: {pathlib.Path(log).read_text()}")


def run(client, reprise):
    """Runs a client, and returns what came of each capability."""
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
        environment |= {"CLIENT_URL": url, "CLIENT_KEY": KEY, "CLIENT_CLAUDE": upstream, "REPRISE": str(reprise)}
        command, versions = _command(client)
        try:
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)
            output, log = done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            output = (late.stdout or b"").decode()
            log = f"{(late.stderr or b'').decode()}\nnot finished after {TIMEOUT} s"
        capabilities = {}
        for line in output.splitlines():
            if line.startswith('{"capability"'):
                found = json.loads(line)
                capabilities[found["capability"]] = (found["result"], found["what"])
        log += (folder / "reprise.log").read_text() + (folder / "claude.log").read_text()
        return Result(client, versions, capabilities, log)


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
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _command(client):
    """The command that runs a client, and the versions of its packages."""
    if client.place.endswith(".txt"):
        installed = install.INSTALLED / client.place.removesuffix(".txt")
        pins = dict(
            line.split()[0].split("==") for line in (install.HERE / client.place).read_text().splitlines() if "==" in line and line[0] != " "
        )
        command = [installed / "bin" / "python", install.HERE / "python" / f"{client.name}.py"]
    else:
        installed = install.INSTALLED / client.place
        lock = json.loads((install.HERE / client.place / "package-lock.json").read_text())["packages"]
        pins = {name.removeprefix("node_modules/"): package.get("version") for name, package in lock.items()}
        command = ["node", installed / f"{client.name}.mjs"]
    return command, [f"{package} {pins[package]}" for package in client.packages]
