"""pytest against fixtures: a replay for the session, started as a process. Run it with REPRISE=path/to/reprise."""

import json
import os
import pathlib
import subprocess
import urllib.request

import openai
import pytest

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "demo"


@pytest.fixture(scope="session")
def base_url():
    command = [os.environ.get("REPRISE", "reprise"), "replay", FIXTURES, "--port", "0", "--log", "warn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replay:
        yield replay.stdout.readline().strip()
        replay.terminate()


@pytest.fixture
def client(base_url):
    return openai.OpenAI(base_url=base_url, api_key="none is needed")


def ask(client, question, **more):
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="claude-haiku-5-5", messages=messages, **more)


def test_an_answer(client):
    assert "I am a recording" in ask(client, "Hello!").choices[0].message.content


def test_a_stream_has_the_same_text(client):
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(client, "Hello!", stream=True) if chunk.choices]
    assert len(pieces) > 5
    assert "".join(pieces) == ask(client, "Hello!").choices[0].message.content


def misses(base_url):
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/replay") as status:
        return json.load(status)["misses"]


def test_what_was_not_recorded_is_a_404_that_is_not_asked_again(client, base_url):
    before = misses(base_url)
    with pytest.raises(openai.NotFoundError, match="the nearest"):
        ask(client, "Hello?")
    assert misses(base_url) == before + 1
