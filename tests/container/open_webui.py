#!/usr/bin/env python3
"""Stand-in for Open WebUI, with its port, its health check and its variables, where the real one is not installed.

`GET /health` answers when the connection's list of models was read. `POST /ask` with a question sends it as a chat of
Open WebUI does, with the headers of OPENAI_API_CONFIGS filled in, and answers with the answer and its Cache-Status.
"""
import json
import os
import re
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

BASE = os.environ["OPENAI_API_BASE_URL"]
HEADERS = json.loads(os.environ["OPENAI_API_CONFIGS"])["0"]["headers"]


def send(path, body=None, ids=None):
    headers = {name: re.sub(r"{{(\w+)}}", lambda found: (ids or {}).get(found[1], ""), value)
               for name, value in HEADERS.items()}
    headers |= {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}
    request = urllib.request.Request(BASE + path, body and json.dumps(body).encode(), headers)
    return urllib.request.urlopen(request, timeout=30)


class Answers(BaseHTTPRequestHandler):
    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        models = json.load(send("/models"))["data"]
        self.answer({"status": True, "models": [model["id"] for model in models]})

    def do_POST(self):
        question = self.rfile.read(int(self.headers["content-length"])).decode()
        ids = {name: str(uuid.uuid4()) for name in ["CHAT_ID", "MESSAGE_ID", "USER_MESSAGE_ID"]} | {"USER_ID": "ann"}
        model = "claude-haiku-5-5"
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        with send("/chat/completions", body, ids) as response:
            text = json.load(response)["choices"][0]["message"]["content"]
            self.answer({"text": text, "cache_status": response.headers["cache-status"]})


HTTPServer(("0.0.0.0", 8080), Answers).serve_forever()
