"""The command `llm`, with Reprise as a model of its `extra-openai-models.yaml`."""

import pathlib
import subprocess
import sys
import tempfile

from capability import *

folder = pathlib.Path(tempfile.mkdtemp())
(folder / "extra-openai-models.yaml").write_text(f"""
- model_id: claude
  model_name: {MODEL}
  api_base: {URL}/v1
  api_key_name: reprise
  supports_schema: true
  supports_tools: true
""")
(folder / "weather.py").write_text(f"""
def weather(city: str) -> str:
    "The weather in a city."
    return {({call['city']: call['result'] for call in SCRIPT['tools']['calls']})!r}[city]
""")
(folder / "keys.json").write_text(json.dumps({"reprise": KEY}))
LLM = pathlib.Path(sys.executable).parent / "llm"


def llm(*arguments, fails=False):
    environment = {**os.environ, "LLM_USER_PATH": str(folder)}
    done = subprocess.run([LLM, *arguments], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode != 0) == fails, done
    return done.stderr if fails else done.stdout.strip()


def chat():
    equal(llm("--no-stream", "-m", "claude", SCRIPT["chat"]["question"]), SCRIPT["chat"]["answer"])
    usage = json.loads(llm("logs", "--json", "-n", "1"))[0]
    equal((usage["input_tokens"], usage["output_tokens"]), (PROMPT, OUTPUT))


def stream():
    answer = llm("-m", "claude", "-u", SCRIPT["stream"]["question"])
    equal(answer, SCRIPT["stream"]["answer"])
    usage = json.loads(llm("logs", "--json", "-n", "1"))[0]
    equal((usage["input_tokens"], usage["output_tokens"]), (PROMPT, OUTPUT))


def tool_loop():
    answer = llm("-m", "claude", "--functions", str(folder / "weather.py"), SCRIPT["tools"]["question"])
    assert answer.endswith(SCRIPT["tools"]["answer"]), answer


def structured():
    answer = llm("-m", "claude", "--schema", json.dumps(DATA_SCHEMA), SCRIPT["structured"]["question"])
    equal(json.loads(answer), DATA)


def errors():
    long, broken = SCRIPT["errors"]["long"], SCRIPT["errors"]["broken"]
    assert long["message"] in llm("-m", "claude", long["question"], fails=True)
    assert "wrong API key" in llm("-m", "claude", "--key", WRONG_KEY, long["question"], fails=True)
    assert broken["message"].lower() in llm("-m", "claude", broken["question"], fails=True).lower()


def retries():
    equal(retried(lambda: llm("-m", "claude", SCRIPT["retries"]["question"])), SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: llm("-m", "claude", SCRIPT["chat"]["question"])), SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
