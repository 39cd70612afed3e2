"""LangChain's ChatAnthropic, with an agent of LangChain."""

import anthropic
from capability import *
from langchain.agents import create_agent
from langchain_core.exceptions import ContextOverflowError
from langchain_anthropic import ChatAnthropic
from shapes import City

model = ChatAnthropic(model=MODEL, base_url=URL, api_key=KEY, max_retries=1, max_tokens=1000)


def chat():
    answer = model.invoke(SCRIPT["chat"]["question"])
    equal((answer.text, answer.response_metadata["stop_reason"]), (SCRIPT["chat"]["answer"], "end_turn"))
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (PROMPT, OUTPUT))


def stream():
    chunks = list(model.stream(SCRIPT["stream"]["question"]))
    answer = chunks[0]
    for chunk in chunks[1:]:
        answer += chunk
    assert len(chunks) > 4, chunks
    equal((answer.text, answer.response_metadata["stop_reason"]), (SCRIPT["stream"]["answer"], "end_turn"))
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (PROMPT, OUTPUT))


def tool_loop():
    agent = create_agent(model, tools=[weather])
    messages = agent.invoke({"messages": [{"role": "user", "content": SCRIPT["tools"]["question"]}]})["messages"]
    equal([call["args"] for call in messages[1].tool_calls], [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]])
    equal(messages[-1].text, SCRIPT["tools"]["answer"])


def structured():
    by_schema = model.with_structured_output(City, method="json_schema")
    equal(by_schema.invoke(SCRIPT["structured"]["question"]), City(**DATA))
    equal(model.with_structured_output(City).invoke(by_tool("City")), City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    fails(anthropic.RateLimitError, lambda: model.invoke(limited["question"]), limited["message"])
    wrong = ChatAnthropic(model=MODEL, base_url=URL, api_key=WRONG_KEY, max_tokens=1000)
    fails(anthropic.AuthenticationError, lambda: wrong.invoke(long["question"]), "wrong API key")
    fails(anthropic.APIStatusError, lambda: list(model.stream(broken["question"])), broken["message"])
    error = fails(anthropic.BadRequestError, lambda: model.invoke(long["question"]), long["message"])
    # LangChain's own class, by which its agents know that a chat has to be shortened.
    assert isinstance(error, ContextOverflowError), type(error)


def retries():
    answer = retried(lambda: model.invoke(SCRIPT["retries"]["question"]))
    equal(answer.text, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: model.invoke(SCRIPT["chat"]["question"])).text, SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
