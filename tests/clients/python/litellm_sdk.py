"""LiteLLM's SDK, over the OpenAI API."""

import json

import litellm
from capability import *
from shapes import City, WEATHER_TOOL

litellm.suppress_debug_info = True


def ask(question, key=KEY, **more):
    messages = question if isinstance(question, list) else [{"role": "user", "content": question}]
    return litellm.completion(model=f"openai/{MODEL}", api_base=f"{URL}/v1", api_key=key, messages=messages, max_retries=1, **more)


def chat():
    answer = ask(SCRIPT["chat"]["question"])
    equal((answer.choices[0].message.content, answer.choices[0].finish_reason), (SCRIPT["chat"]["answer"], "stop"))
    equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (PROMPT, OUTPUT))


def stream():
    chunks = list(ask(SCRIPT["stream"]["question"], stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])
    whole = litellm.stream_chunk_builder(chunks)
    equal(whole.choices[0].finish_reason, "stop")
    equal((whole.usage.prompt_tokens, whole.usage.completion_tokens), (PROMPT, OUTPUT))


def tool_loop():
    question = [{"role": "user", "content": SCRIPT["tools"]["question"]}]
    first = ask(question, tools=[WEATHER_TOOL]).choices[0]
    arguments = [json.loads(call.function.arguments) for call in first.message.tool_calls]
    equal((first.finish_reason, arguments), ("tool_calls", [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]]))
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))}
        for call in first.message.tool_calls
    ]
    second = ask([*question, first.message, *results], tools=[WEATHER_TOOL])
    equal(second.choices[0].message.content, SCRIPT["tools"]["answer"])


def structured():
    answer = ask(SCRIPT["structured"]["question"], response_format=City)
    equal(City.model_validate_json(answer.choices[0].message.content), City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    fails(litellm.ContextWindowExceededError, lambda: ask(long["question"]), long["message"])
    fails(litellm.RateLimitError, lambda: ask(limited["question"]), limited["message"])
    fails(litellm.AuthenticationError, lambda: ask(long["question"], key=WRONG_KEY), "wrong API key")
    heard = []

    def listen():
        for chunk in ask(broken["question"], stream=True):
            heard.append(chunk.choices[0].delta.content or "")

    fails((litellm.exceptions.APIError, litellm.exceptions.MidStreamFallbackError), listen, broken["message"])
    equal("".join(heard), broken["text"])


def retries():
    answer = retried(lambda: ask(SCRIPT["retries"]["question"]))
    equal(answer.choices[0].message.content, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: ask(SCRIPT["chat"]["question"])).choices[0].message.content, SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
