"""Claude's place: fixtures that `reprise replay` answers with. They come from script.json, which the clients read too."""

import json
import pathlib

ANY = {"$any": True}
SCRIPT = json.loads((pathlib.Path(__file__).parent / "script.json").read_text())
USAGE = {"input_tokens": SCRIPT["usage"]["input"], "output_tokens": SCRIPT["usage"]["output"]}
MODEL = SCRIPT["model"]
# Tools by which clients ask for data where they do not use a schema for the whole answer.
DATA_TOOLS = ["City", "final_result", "json"]
# What clients send differs in these parts, and their tests check the answers instead.
IGNORED = "system,tools,max_tokens,thinking,output_config,temperature,top_p,top_k,stop_sequences"


def text(text):
    return {"type": "text", "text": text}


def said(content, **more):
    return {"message": {"content": content, "usage": USAGE, **more}}


def failed(type, message, headers=None):
    return {"error": {"type": type, "message": message}, **({"headers": headers} if headers else {})}


def tool_calls():
    tools = SCRIPT["tools"]
    calls = [{"type": "tool_use", "id": c["id"], "name": "weather", "input": {"city": c["city"]}} for c in tools["calls"]]
    thinking = {"type": "thinking", "thinking": tools["thinking"], "signature": tools["signature"]}
    return [thinking, text(tools["text"]), *calls]


def breaking(broken):
    """An answer that ends in an error event."""
    message = {"id": "msg_broken", "type": "message", "role": "assistant", "model": MODEL, "content": [], "usage": USAGE}
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": text("")},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": broken["text"]}},
        {"type": "error", "error": {"type": broken["type"], "message": broken["message"]}},
    ]
    return {"events": [[0, event["type"], event] for event in events]}


def dialogue():
    """The questions with the turns after them, and the responses, by name."""
    script, errors = SCRIPT, SCRIPT["errors"]
    data = script["structured"]
    yield "chat", script["chat"]["question"], [], said(script["chat"]["answer"])
    yield "stream", script["stream"]["question"], [], said(script["stream"]["answer"])
    yield "tools-1", script["tools"]["question"], [], said(tool_calls(), stop_reason="tool_use")
    results = [{"type": "tool_result", "tool_use_id": c["id"], "content": [text(c["result"])]} for c in script["tools"]["calls"]]
    turns = [{"role": "assistant", "content": tool_calls()}, {"role": "user", "content": results}]
    yield "tools-2", script["tools"]["question"], turns, said(script["tools"]["answer"])
    yield "structured", data["question"], [], said(json.dumps(data["data"]))
    for tool in DATA_TOOLS:
        call = {"type": "tool_use", "id": "toolu_01Data", "name": tool, "input": data["data"]}
        yield f"structured-{tool}", f"{data['question']} Call {tool}.", [], said([call], stop_reason="tool_use")
    for name in ["long", "limited"]:
        yield name, errors[name]["question"], [], failed(errors[name]["type"], errors[name]["message"], errors[name].get("headers"))
    yield "broken", errors["broken"]["question"], [], breaking(errors["broken"])
    for attempt in range(script["retries"]["failures"]):
        yield f"retries-{attempt + 1}", script["retries"]["question"], [], failed("overloaded_error", "Overloaded")
    yield "retries-last", script["retries"]["question"], [], said(script["retries"]["answer"])


def requests(api, question, turns):
    """The requests to Claude that ask a question, as clients of an API write it."""
    if api == "chat":
        # Whatever the client makes of them, earlier turns reach Claude as Claude said them, with thinking and signature.
        yield "2026-10-21", [{"role": "user", "content": [text(question)]}, *turns]
        return
    turns = [{"role": turn["role"], "content": ANY} for turn in turns]
    for version in ["2023-06-01", "2026-10-21"]:
        for content in [question, [text(question)]]:
            yield version, [{"role": "user", "content": content}, *turns]


def code_agent():
    """An agent in its own words: its first answer calls a tool, the one after the tool's result ends."""
    agent = SCRIPT["agent"]


def write(folder, api):
    """Writes the fixtures for the clients of an API, `chat` or `messages`."""
    folder.mkdir(parents=True)
    for name, question, turns, response in dialogue():
        for at, (version, messages) in enumerate(requests(api, question, turns)):
            body = {"model": MODEL, "messages": messages}
            fixture = {"schema": 1, "upstream": {"version": version, "body": body}, "response": response}
            (folder / f"{name}.{at}.json").write_text(json.dumps(fixture))
