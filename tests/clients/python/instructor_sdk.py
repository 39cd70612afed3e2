"""instructor: data from answers, by each of its modes."""

import instructor
import openai
from capability import *
from instructor.core import InstructorRetryException
from shapes import City

sdk = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=1)


def ask(question, mode=instructor.Mode.TOOLS, sdk=sdk, **more):
    messages = [{"role": "user", "content": question}]
    client = instructor.from_openai(sdk, mode=mode)
    return client.chat.completions.create(model=MODEL, messages=messages, response_model=City, max_retries=1, **more)


def equal_data(city):
    # By a tool, instructor answers with a subclass of its own.
    assert isinstance(city, City), type(city)
    equal(city.model_dump(), DATA)


def structured():
    equal_data(ask(by_tool("City")))
    equal_data(ask(SCRIPT["structured"]["question"], instructor.Mode.JSON_SCHEMA))


def stream():
    client = instructor.from_openai(sdk, mode=instructor.Mode.TOOLS)
    messages = [{"role": "user", "content": by_tool("PartialCity")}]
    parts = list(client.chat.completions.create_partial(model=MODEL, messages=messages, response_model=City))
    assert len(parts) > 1, parts
    equal(parts[-1].model_dump(), DATA)


def errors():
    long, limited = SCRIPT["errors"]["long"], SCRIPT["errors"]["limited"]
    fails(InstructorRetryException, lambda: ask(long["question"]), long["message"])
    fails(InstructorRetryException, lambda: ask(limited["question"]), limited["message"])
    fails(InstructorRetryException, lambda: ask(long["question"], sdk=sdk.with_options(api_key=WRONG_KEY)), "wrong API key")


def repeat():
    equal_data(repeated(lambda: ask(by_tool("City"))))


run(structured, stream, errors, repeat)
