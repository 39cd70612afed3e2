"""Frame of a client's test: runs its capabilities, one function each, and prints what came of each as a line of JSON.

A function that returns a text works, but differs: the text says in what. What the client asks goes to Reprise at `URL`,
behind which a replay of fixtures is in Claude's place, at `CLAUDE`.
"""

import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import traceback
import urllib.request

URL = os.environ["CLIENT_URL"]
KEY = os.environ["CLIENT_KEY"]
WRONG_KEY = "not-the-key"
CLAUDE = os.environ["CLIENT_CLAUDE"]
SCRIPT = json.loads(pathlib.Path(os.environ["CLIENT_SCRIPT"]).read_text())
MODEL = SCRIPT["model"]
PROMPT, OUTPUT = SCRIPT["usage"]["input"], SCRIPT["usage"]["output"]
DATA = SCRIPT["structured"]["data"]

# The heads of the responses that the client got, the newest last.
responses = []


def observe():
    """Notes the head of each response. Every client here speaks HTTP by one of these libraries."""
    for name in ["httpx", "httpx2"]:
        if not importlib.util.find_spec(name):
            continue
        library = importlib.import_module(name)

        def send(self, *args, then=library.Client.send, **more):
            response = then(self, *args, **more)
            responses.append(response)
            return response

        async def send_async(self, *args, then=library.AsyncClient.send, **more):
            response = await then(self, *args, **more)
            responses.append(response)
            return response

        library.Client.send, library.AsyncClient.send = send, send_async


def weather(city: str) -> str:
    """The weather in a city."""
    return next(call["result"] for call in SCRIPT["tools"]["calls"] if call["city"] == city)


WEATHER_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DATA_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["city", "inhabitants"],
    "additionalProperties": False,
}


def by_tool(tool):
    """The question for data by a tool of this name."""
    return f"{SCRIPT['structured']['question']} Call {tool}."


def asked():
    """The number of requests that have reached Claude, with an answer there or not."""
    with urllib.request.urlopen(f"{CLAUDE}/replay") as status:
        status = json.load(status)
    return sum(fixture["given"] for fixture in status["fixtures"]) + status["misses"]


def calls():
    """The calls in the ledger, the oldest first."""
    exported = subprocess.run([os.environ["REPRISE"], "calls", "export"], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in exported.stdout.splitlines()]


def equal(got, wanted):
    assert got == wanted, f"{got!r} is not {wanted!r}"


def fails(error, ask, *texts):
    """Asks what fails with an error of this class, or one of several, checks its texts, and returns it."""
    try:
        answer = ask()
    except error as raised:
        for text in texts:
            assert text.lower() in str(raised).lower(), f"{text!r} is not in {raised!s}"
        return raised
    raise AssertionError(f"no error, but {answer!r}")


def repeated(ask):
    """Asks what was asked before, and checks that the ledger answers. Returns the answer."""
    before, known = asked(), len(calls())
    responses.clear()
    answer = ask()
    equal(asked(), before)
    new = calls()[known:]
    equal([call["answered_by"] for call in new], ["hit"] * max(len(new), 1))
    if responses:
        assert "; hit" in responses[-1].headers["cache-status"], responses[-1].headers["cache-status"]
    return answer


def retried(ask):
    """Asks what fails until the client itself has tried again. Returns the answer."""
    before = asked()
    answer = ask()
    # Reprise asks three times and gives up; it is the client's own retry that is answered.
    equal(asked(), before + SCRIPT["retries"]["failures"] + 1)
    return answer


def run(*capabilities):
    observe()
    for capability in capabilities:
        name = capability.__name__.replace("_", " ")
        try:
            differs = capability()
            result = {"capability": name, "result": "differs" if differs else "works", "what": differs}
        except Exception as error:
            traceback.print_exc()
            result = {"capability": name, "result": "fails", "what": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)
