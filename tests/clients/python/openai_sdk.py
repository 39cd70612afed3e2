"""OpenAI's SDK for Python."""

import json

import openai
from capability import *
from shapes import City, WEATHER_TOOL

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=1)


def ask(question, **more):
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": question}], **more)


def chat():
    answer = ask(SCRIPT["chat"]["question"])
    equal(answer.choices[0].message.content, SCRIPT["chat"]["answer"])
    equal(answer.choices[0].finish_reason, "stop")
    equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (PROMPT, OUTPUT))
    assert MODEL in [model.id for model in client.models.list()]


def stream():
    chunks = list(ask(SCRIPT["stream"]["question"], stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])
    equal([c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason], ["stop"])
    equal([(c.usage.prompt_tokens, c.usage.completion_tokens) for c in chunks if c.usage], [(PROMPT, OUTPUT)])


def tool_loop():
    question = [{"role": "user", "content": SCRIPT["tools"]["question"]}]
    first = client.chat.completions.create(model=MODEL, messages=question, tools=[WEATHER_TOOL]).choices[0]
    equal((first.finish_reason, first.message.content), ("tool_calls", SCRIPT["tools"]["text"]))
    tool_calls = first.message.tool_calls
    arguments = [json.loads(call.function.arguments) for call in tool_calls]
    equal(arguments, [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]])
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))} for call in tool_calls
    ]
    second = client.chat.completions.create(model=MODEL, messages=[*question, first.message, *results], tools=[WEATHER_TOOL])
    equal(second.choices[0].message.content, SCRIPT["tools"]["answer"])

    # Streamed, as `stream` helpers put it together.
    with client.chat.completions.stream(model=MODEL, messages=question, tools=[WEATHER_TOOL]) as events:
        streamed = events.get_final_completion().choices[0]
    equal([json.loads(call.function.arguments) for call in streamed.message.tool_calls], arguments)
    equal([call.id for call in streamed.message.tool_calls], [call.id for call in tool_calls])


def structured():
    question = [{"role": "user", "content": SCRIPT["structured"]["question"]}]
    answer = client.chat.completions.parse(model=MODEL, messages=question, response_format=City).choices[0].message
    equal(answer.parsed, City(**DATA))


def errors():
    long = SCRIPT["errors"]["long"]
    error = fails(openai.BadRequestError, lambda: ask(long["question"]), long["message"])
    equal((error.code, error.type), ("context_length_exceeded", "invalid_request_error"))
    limited = SCRIPT["errors"]["limited"]
    fails(openai.RateLimitError, lambda: ask(limited["question"]), limited["message"])
    wrong = client.with_options(api_key=WRONG_KEY)
    fails(openai.AuthenticationError, lambda: wrong.models.list(), "wrong API key")
    fails(openai.NotFoundError, lambda: client.models.retrieve("claude-of-nobody"), "no such model")
    broken, heard = SCRIPT["errors"]["broken"], []

    def listen():
        for chunk in ask(broken["question"], stream=True):
            heard.append(chunk.choices[0].delta.content or "")

    fails(openai.APIError, listen, broken["message"])
    equal("".join(heard), broken["text"])


def retries():
    answer = retried(lambda: ask(SCRIPT["retries"]["question"]))
    equal(answer.choices[0].message.content, SCRIPT["retries"]["answer"])


def repeat():
    answer = repeated(lambda: ask(SCRIPT["chat"]["question"]))
    equal((answer.choices[0].message.content, answer.usage.cost), (SCRIPT["chat"]["answer"], 0))
    chunks = repeated(lambda: list(ask(SCRIPT["chat"]["question"], stream=True)))
    equal("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
