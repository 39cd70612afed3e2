"""The table of what works, for a terminal and as a page."""

import datetime
import platform
import re
import subprocess

import install

CAPABILITIES = ["chat", "stream", "tool loop", "structured", "errors", "retries", "repeat"]
PAGE = install.ROOT / ".github" / "docs" / "clients.md"
# Of each capability, the assertions that a client's program makes.
MEANINGS = {
    "chat": "an answer: text, finish reason, tokens; the list of models, where the client has one",
    "stream": "an answer in pieces, with finish reason and tokens",
    "tool loop": "two parallel calls with arguments, their results, the answer to them; Claude gets its thinking and signature back",
    "structured": "data by a JSON schema, by a tool that must be called, or both",
    "errors": "the class of the SDK's error for a prompt that is too long, a rate limit, a wrong key, and a failure in mid-stream",
    "retries": "while Claude is overloaded, Reprise asks three times, and the client itself once more",
    "repeat": "the same question again: `Cache-Status: … hit`, no request to Claude, the same answer",
}
MARKS = {"works": "✓", "differs": "✓ *", "fails": "✗"}


def text(results):
    """The table for a terminal."""
    rows = [["client", *CAPABILITIES]]
    for result in results:
        rows.append([_plain(result.client.title), *(result.capabilities.get(name, ("–",))[0] for name in CAPABILITIES)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    for title, capability, what in _differences(results):
        lines.append(f"{_plain(title)}, {capability}: {what}")
    return "\n".join(lines)


def write(results, reprise):
    """Writes the page."""
    # `reprise 0.1.0 (c1ee41f 2026-11-30)`: of the program, which may be another than that of this checkout.
    version = subprocess.run([reprise, "--version"], check=True, capture_output=True, text=True).stdout.split()
    node = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip()
    lines = [
        "# Clients",
        "",
        f"Other programs' clients against Reprise {version[1]} {version[2]}), {datetime.date.today()}, with Python {platform.python_version()} and",
        f"Node {node}. `tests/clients/run --write` writes this page: each client runs against a Reprise of its own, behind which",
        "a replay of fixtures is in Claude's place. ✓ works, ✓ * works with a difference that is named below, ✗ fails, – is not",
        "tested: the client has no such thing, or it is its SDK's.",
        "",
        f"| client | {' | '.join(CAPABILITIES)} |",
        f"| --- |{' :-: |' * len(CAPABILITIES)}",
    ]
    for result in results:
        marks = [MARKS[result.capabilities[name][0]] if name in result.capabilities else "–" for name in CAPABILITIES]
        lines.append(f"| {result.client.title} | {' | '.join(marks)} |")
    lines += ["", *(f"\\* {title}, {capability}: {what}" for title, capability, what in _differences(results)), ""]
    lines += ["| client | versions | setting |", "| --- | --- | --- |"]
    lines += [f"| {result.client.title} | {', '.join(result.versions)} | {result.client.setup} |" for result in results]
    lines += ["", "| | what is tested |", "| --- | --- |", *(f"| {name} | {meaning} |" for name, meaning in MEANINGS.items())]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    PAGE.write_text(text + "\n")


def _plain(title):
    return title.replace("`", "")


def _differences(results):
    for result in results:
        for capability, (_, what) in result.capabilities.items():
            if what:
                yield result.client.title, capability, what
