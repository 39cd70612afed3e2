"""OpenAI's Agents SDK. Its default is the Responses API, so the Chat Completions API is chosen."""

import asyncio

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from capability import *
from shapes import City

set_tracing_disabled(True)


def model(key=KEY):
    sdk = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=1)
    return OpenAIChatCompletionsModel(model=MODEL, openai_client=sdk)


def ask(question, key=KEY, **more):
    return Runner.run_sync(Agent(name="clerk", model=model(key), **more), question)


def listen(question):
    async def pieces():
        running = Runner.run_streamed(Agent(name="clerk", model=model()), question)
        events = [event async for event in running.stream_events() if event.type == "raw_response_event"]
        return [event.data.delta for event in events if event.data.type == "response.output_text.delta"]

    return asyncio.run(pieces())


def chat():
    answer = ask(SCRIPT["chat"]["question"])
    equal(answer.final_output, SCRIPT["chat"]["answer"])
    usage = answer.context_wrapper.usage
    equal((usage.input_tokens, usage.output_tokens), (PROMPT, OUTPUT))


def stream():
    pieces = listen(SCRIPT["stream"]["question"])
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])


def tool_loop():
    answer = ask(SCRIPT["tools"]["question"], tools=[function_tool(weather)])
    equal(answer.final_output, SCRIPT["tools"]["answer"])
    results = [item.output for item in answer.new_items if item.type == "tool_call_output_item"]
    equal(results, [call["result"] for call in SCRIPT["tools"]["calls"]])


def structured():
    equal(ask(SCRIPT["structured"]["question"], output_type=City).final_output, City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    equal(fails(openai.BadRequestError, lambda: ask(long["question"]), long["message"]).code, "context_length_exceeded")
    fails(openai.RateLimitError, lambda: ask(limited["question"]), limited["message"])
    fails(openai.AuthenticationError, lambda: ask(long["question"], WRONG_KEY), "wrong API key")
    fails(openai.APIError, lambda: listen(broken["question"]), broken["message"])


def retries():
    equal(retried(lambda: ask(SCRIPT["retries"]["question"])).final_output, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: ask(SCRIPT["chat"]["question"])).final_output, SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
