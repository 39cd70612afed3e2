"""LangChain's ChatOpenAI, with an agent of LangChain."""

import openai
from capability import *
from langchain.agents import create_agent
from langchain_core.exceptions import ContextOverflowError
from langchain_openai import ChatOpenAI
from shapes import City

model = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=KEY, max_retries=1)


def chat():
    answer = model.invoke(SCRIPT["chat"]["question"])
    equal((answer.content, answer.response_metadata["finish_reason"]), (SCRIPT["chat"]["answer"], "stop"))
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (PROMPT, OUTPUT))


def stream():
    chunks = list(model.stream(SCRIPT["stream"]["question"], stream_usage=True))
    answer = chunks[0]
    for chunk in chunks[1:]:
        answer += chunk
    assert len(chunks) > 4, chunks
    equal((answer.content, answer.response_metadata["finish_reason"]), (SCRIPT["stream"]["answer"], "stop"))
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (PROMPT, OUTPUT))


def tool_loop():
    agent = create_agent(model, tools=[weather])
    messages = agent.invoke({"messages": [{"role": "user", "content": SCRIPT["tools"]["question"]}]})["messages"]
    equal([call["args"] for call in messages[1].tool_calls], [{"city": call["city"]} for call in SCRIPT["tools"]["calls"]])
    equal([message.content for message in messages[2:4]], [call["result"] for call in SCRIPT["tools"]["calls"]])
    equal(messages[-1].content, SCRIPT["tools"]["answer"])


def structured():
    equal(model.with_structured_output(City).invoke(SCRIPT["structured"]["question"]), City(**DATA))
    by_call = model.with_structured_output(City, method="function_calling")
    equal(by_call.invoke(by_tool("City")), City(**DATA))


def errors():
    long, limited, broken = (SCRIPT["errors"][name] for name in ["long", "limited", "broken"])
    fails(openai.RateLimitError, lambda: model.invoke(limited["question"]), limited["message"])
    wrong = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=WRONG_KEY)
    fails(openai.AuthenticationError, lambda: wrong.invoke(long["question"]), "wrong API key")
    fails(openai.APIError, lambda: list(model.stream(broken["question"])), broken["message"])
    error = fails(openai.BadRequestError, lambda: model.invoke(long["question"]), long["message"])
    equal(error.code, "context_length_exceeded")
    # LangChain's own class, by which its agents know that a chat has to be shortened.
    assert isinstance(error, ContextOverflowError), type(error)


def retries():
    answer = retried(lambda: model.invoke(SCRIPT["retries"]["question"]))
    equal(answer.content, SCRIPT["retries"]["answer"])


def repeat():
    equal(repeated(lambda: model.invoke(SCRIPT["chat"]["question"])).content, SCRIPT["chat"]["answer"])


run(chat, stream, tool_loop, structured, errors, retries, repeat)
