"""Pydantic AI over the OpenAI API."""

from capability import *
from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelAPIError, ModelHTTPError, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from shapes import City


def model(key=KEY):
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=AsyncOpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=1)))


agent = Agent(model())


def chat():
    answer = agent.run_sync(SCRIPT["chat"]["question"])
    equal((answer.output, answer.response.finish_reason), (SCRIPT["chat"]["answer"], "stop"))
    equal((answer.usage.input_tokens, answer.usage.output_tokens), (PROMPT, OUTPUT))


def stream():
    answer = agent.run_stream_sync(SCRIPT["stream"]["question"])
    pieces = list(answer.stream_text(delta=True, debounce_by=None))
    assert len(pieces) > 3, pieces
    equal("".join(pieces), SCRIPT["stream"]["answer"])
    equal((answer.usage.input_tokens, answer.usage.output_tokens), (PROMPT, OUTPUT))


def tool_loop():
    answer = Agent(model(), tools=[weather]).run_sync(SCRIPT["tools"]["question"])
    equal(answer.output, SCRIPT["tools"]["answer"])
    calls = answer.all_messages()[1].tool_calls
    equal([call.args_as_dict() for call in calls], [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]])


def structured():
    equal(Agent(model(), output_type=City).run_sync(by_tool("final_result")).output, City(**DATA))
    equal(Agent(model(), output_type=NativeOutput(City)).run_sync(SCRIPT["structured"]["question"]).output, City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    error = fails(ModelHTTPError, lambda: agent.run_sync(long["question"]), long["message"])
    equal((error.status_code, error.body["code"]), (400, "context_length_exceeded"))
    equal(fails(ModelHTTPError, lambda: agent.run_sync(limited["question"]), limited["message"]).status_code, 429)
    equal(fails(ModelHTTPError, lambda: Agent(model(WRONG_KEY)).run_sync(long["question"]), "wrong API key").status_code, 401)
    fails(ModelAPIError, lambda: list(agent.run_stream_sync(broken["question"]).stream_text(delta=True)), broken["message"])


def retries():
    answer = retried(lambda: agent.run_sync(SCRIPT["retries"]["question"]))
    equal(answer.output, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: agent.run_sync(SCRIPT["chat"]["question"])).output, SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
