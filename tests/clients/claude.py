"""Claude's place: fixtures that `reprise replay` answers with. They come from script.json, which the clients read too."""

import json
import pathlib
import re

ANY = {"$any": True}
SCRIPT_FILE = pathlib.Path(__file__).resolve().parent / "script.json"
SCRIPT = json.loads(SCRIPT_FILE.read_text())
USAGE = {"input_tokens": SCRIPT["usage"]["input"], "output_tokens": SCRIPT["usage"]["output"]}
MODEL = SCRIPT["model"]
# Tools by which clients ask for data where they do not use a schema for the whole answer.
DATA_TOOLS = ["City", "PartialCity", "final_result"]
# What clients send differs in these parts, and their tests check the answers instead.
IGNORED = "system,tools,max_tokens,thinking,output_config,temperature,top_p,top_k,stop_sequences"


def text(text):
    return {"type": "text", "text": text}


def said(content, **more):
    return {"message": {"content": content, "usage": USAGE, **more}}


def failed(type, message):
    return {"error": {"type": type, "message": message}}


def tool_calls():
    tools = SCRIPT["tools"]
    calls = [{"type": "tool_use", "id": c["id"], "name": "weather", "input": {"city": c["city"]}} for c in tools["calls"]]
    thinking = {"type": "thinking", "thinking": tools["thinking"], "signature": tools["signature"]}
    return [thinking, text(tools["text"]), *calls]


def told(pieces, *end):
    """An answer of text that comes in pieces, and the events that end it."""
    message = {"id": "msg_01Told", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": USAGE}
    deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}} for piece in pieces]
    start = {"type": "content_block_start", "index": 0, "content_block": text("")}
    events = [{"type": "message_start", "message": message}, start, *deltas, *end]
    return {"events": [[0, event["type"], event] for event in events]}


def streamed(script):
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USAGE}
    pieces = re.findall(r"\S+\s*", script["answer"])
    return told(pieces, {"type": "content_block_stop", "index": 0}, stop, {"type": "message_stop"})


def breaking(script):
    error = {"type": "error", "error": {"type": script["type"], "message": script["message"]}}
    return told([script["text"]], error)


def dialogue():
    """The questions with the turns after them, and the responses, by name."""
    script, errors = SCRIPT, SCRIPT["errors"]
    data = script["structured"]
    yield "chat", script["chat"]["question"], [], said(script["chat"]["answer"])
    yield "stream", script["stream"]["question"], [], streamed(script["stream"])
    yield "tools-1", script["tools"]["question"], [], said(tool_calls(), stop_reason="tool_use")
    results = [{"type": "tool_result", "tool_use_id": c["id"], "content": [text(c["result"])]} for c in script["tools"]["calls"]]
    turns = [{"role": "assistant", "content": tool_calls()}, {"role": "user", "content": results}]
    yield "tools-2", script["tools"]["question"], turns, said(script["tools"]["answer"])
    yield "structured", data["question"], [], said(json.dumps(data["data"]))
    for tool in DATA_TOOLS:
        call = {"type": "tool_use", "id": "toolu_01Data", "name": tool, "input": data["data"]}
        yield f"structured-{tool}", f"{data['question']} Call {tool}.", [], said([call], stop_reason="tool_use")
    for name in ["long", "limited"]:
        yield name, errors[name]["question"], [], failed(errors[name]["type"], errors[name]["message"])
    yield "broken", errors["broken"]["question"], [], breaking(errors["broken"])
    yield from shell_agent()
    for attempt in range(script["retries"]["failures"]):
        yield f"retries-{attempt + 1}", script["retries"]["question"], [], failed("overloaded_error", "Overloaded")
    yield "retries-last", script["retries"]["question"], [], said(script["retries"]["answer"])


def shell_agent():
    """What mini-SWE-agent asks: its own last command ends it."""
    agent = SCRIPT["agent"]
    steps = [agent["command"], "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"]
    turns = []
    for at, command in enumerate(steps):
        call = {"type": "tool_use", "id": f"toolu_01Shell{at}", "name": "bash", "input": {"command": command}}
        content = [text(agent["answer"]), call]
        yield f"agent-{at}", agent["question"], turns, said(content, stop_reason="tool_use")
        turns = [*turns, {"role": "assistant", "content": content}, {"role": "user", "content": ANY}]


def requests(api, question, turns):
    """The requests to Claude that ask a question, as clients of an API write it."""
    if api == "chat":
        # Whatever the client makes of them, earlier turns reach Claude as Claude said them, with thinking and signature.
        # A tool that must be called is named after the question, for models that refuse `tool_choice`.
        for more in [[], [{"type": "text", "text": {"$like": "Answer by calling *"}}]]:
            yield "2026-10-21", [{"role": "user", "content": [text(question), *more]}, *turns]
        return
    turns = [{"role": turn["role"], "content": ANY} for turn in turns]
    for version in ["2023-06-01", "2026-10-21"]:
        for content in [question, [text(question)]]:
            yield version, [{"role": "user", "content": content}, *turns]


def claude_code():
    """What Claude Code asks, how many turns its own have gone before, and the response."""
    agent, errors, retries = SCRIPT["agent"], SCRIPT["errors"], SCRIPT["retries"]
    call = {"type": "tool_use", "id": "toolu_01Bash", "name": "Bash", "input": {"command": agent["command"], "description": "Write"}}
    data = {"type": "tool_use", "id": "toolu_01Data", "name": "StructuredOutput", "input": SCRIPT["structured"]["data"]}
    yield SCRIPT["chat"]["question"], 0, said(SCRIPT["chat"]["answer"])
    yield SCRIPT["stream"]["question"], 0, streamed(SCRIPT["stream"])
    yield agent["question"], 0, said([call], stop_reason="tool_use")
    yield agent["question"], 1, said(agent["answer"])
    yield SCRIPT["structured"]["question"], 0, said([data], stop_reason="tool_use")
    yield SCRIPT["structured"]["question"], 1, said("Done.")
    yield errors["long"]["question"], 0, failed(errors["long"]["type"], errors["long"]["message"])
    for _ in range(retries["failures"]):
        yield retries["question"], 0, failed("overloaded_error", "Overloaded")
    yield retries["question"], 0, said(retries["answer"])


def fixtures(api):
    """The fixtures for the clients of an API, by name: `chat`, `messages`, or `claude-code`, which speaks the latter."""
    if api == "claude-code":
        for at, (question, turn, response) in enumerate(claude_code()):
            messages = [{"role": "user", "content": [ANY, text(question)]}, ANY, *[ANY] * 2 * turn]
            yield f"{at:02}", "2023-06-01", {"messages": messages, "context_management": ANY}, response
        return
    for name, question, turns, response in dialogue():
        for at, (version, messages) in enumerate(requests(api, question, turns)):
            yield f"{name}.{at}", version, {"messages": messages}, response


def write(folder, api):
    """Writes the fixtures for the clients of an API."""
    folder.mkdir(parents=True)
    for name, version, body, response in fixtures(api):
        upstream = {"version": version, "body": {"model": MODEL, **body}}
        (folder / f"{name}.json").write_text(json.dumps({"schema": 1, "upstream": upstream, "response": response}))
