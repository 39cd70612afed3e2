"""Anthropic's SDK for Python."""

import anthropic
from capability import *
from shapes import City

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=1)
TOOLS = [{"name": "weather", "description": "The weather in a city.", "input_schema": WEATHER_SCHEMA}]


def body(question):
    return {"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": question}]}


def ask(question, **more):
    return client.messages.create(**body(question), **more)


def chat():
    answer = ask(SCRIPT["chat"]["question"])
    equal(([block.text for block in answer.content], answer.stop_reason), ([SCRIPT["chat"]["answer"]], "end_turn"))
    equal((answer.usage.input_tokens, answer.usage.output_tokens), (PROMPT, OUTPUT))
    assert MODEL in [model.id for model in client.models.list()]


def stream():
    with client.messages.stream(**body(SCRIPT["stream"]["question"])) as events:
        pieces = list(events.text_stream)
        answer = events.get_final_message()
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])
    equal((answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens), ("end_turn", PROMPT, OUTPUT))


def tool_loop():
    question = {"role": "user", "content": SCRIPT["tools"]["question"]}
    first = client.messages.create(**body(question["content"]), tools=TOOLS)
    equal(first.stop_reason, "tool_use")
    equal([block.type for block in first.content], ["thinking", "text", "tool_use", "tool_use"])
    equal(first.content[0].signature, SCRIPT["tools"]["signature"])
    uses = [block for block in first.content if block.type == "tool_use"]
    equal([use.input for use in uses], [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]])
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": weather(**use.input)} for use in uses]
    turns = [question, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = client.messages.create(model=MODEL, max_tokens=1000, messages=turns, tools=TOOLS)
    equal(second.content[-1].text, SCRIPT["tools"]["answer"])


def structured():
    answer = client.messages.parse(**body(SCRIPT["structured"]["question"]), output_format=City)
    equal(answer.parsed_output, City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    error = fails(anthropic.BadRequestError, lambda: ask(long["question"]), long["message"])
    equal(error.body["error"]["type"], long["type"])
    fails(anthropic.RateLimitError, lambda: ask(limited["question"]), limited["message"])
    wrong = client.with_options(api_key=WRONG_KEY)
    fails(anthropic.AuthenticationError, lambda: wrong.models.list(), "wrong API key")
    fails(anthropic.NotFoundError, lambda: client.models.retrieve("claude-of-nobody"), "no such model")
    heard = []

    def listen():
        with client.messages.stream(**body(broken["question"])) as events:
            heard.extend(events.text_stream)

    fails(anthropic.APIStatusError, listen, broken["message"])
    equal("".join(heard), broken["text"])


def retries():
    answer = retried(lambda: ask(SCRIPT["retries"]["question"]))
    equal(answer.content[0].text, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: ask(SCRIPT["chat"]["question"])).content[0].text, SCRIPT["chat"]["answer"])

    def listen():
        with client.messages.stream(**body(SCRIPT["chat"]["question"])) as events:
            return "".join(events.text_stream)

    equal(repeated(listen), SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
