"""Claude Code without a terminal, in a folder of its own, with nothing but Reprise to talk to."""

import pathlib
import subprocess
import sys

from capability import *

PACKAGE = pathlib.Path(os.environ["CLIENT_INSTALLED"]) / "node_modules" / "@anthropic-ai" / "claude-code"
FOLDER = pathlib.Path.cwd() / "work"
FOLDER.mkdir()
AGENT = SCRIPT["agent"]


def claude(question, *more, key=KEY):
    """Asks in a new session, and returns the lines of the answer."""
    environment = os.environ | {
        "ANTHROPIC_BASE_URL": URL,
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_MODEL": MODEL,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    command = ["node", PACKAGE / "cli-wrapper.cjs", "-p", question, "--output-format", "stream-json", "--verbose", *more]
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    print(done.stderr, file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def result(question, *more, **settings):
    return claude(question, *more, **settings)[-1]


def chat():
    answer = result(SCRIPT["chat"]["question"])
    equal((answer["result"], answer["is_error"]), (SCRIPT["chat"]["answer"], False))
    equal((answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]), (PROMPT, OUTPUT))


def stream():
    lines = claude(SCRIPT["stream"]["question"], "--include-partial-messages")
    deltas = [line["event"]["delta"] for line in lines if line["type"] == "stream_event" and "delta" in line["event"]]
    pieces = [delta["text"] for delta in deltas if delta.get("type") == "text_delta"]
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])


def tool_loop():
    answer = result(AGENT["question"], "--allowedTools", "Bash")
    equal((answer["result"], answer["num_turns"]), (AGENT["answer"], 2))
    equal((FOLDER / "ledger.txt").read_text(), "ledger")


def structured():
    equal(result(SCRIPT["structured"]["question"], "--json-schema", json.dumps(DATA_SCHEMA))["structured_output"], DATA)


def errors():
    long = result(SCRIPT["errors"]["long"]["question"])
    equal((long["is_error"], long["api_error_status"]), (True, 400))
    assert "too long" in long["result"], long
    wrong = result(SCRIPT["chat"]["question"], key=WRONG_KEY)
    equal((wrong["is_error"], wrong["api_error_status"]), (True, 401))


def retries():
    equal(retried(lambda: result(SCRIPT["retries"]["question"]))["result"], SCRIPT["retries"]["answer"])


def repeat():
    # In another session, but of the same user.
    equal(repeated(lambda: result(SCRIPT["chat"]["question"]))["result"], SCRIPT["chat"]["answer"])
    equal(len({call["user"] for call in calls() if call["user"]}), 1)


run(chat, stream, tool_loop, structured, errors, retries, repeat)
