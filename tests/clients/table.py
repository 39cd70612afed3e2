"""The table of what works, in a terminal and as a page."""
import datetime
import install

CAPABILITIES = ["chat", "stream", "tool loop", "structured", "errors", "retries", "repeat"]


def text(results):
    """The table for a terminal."""
    rows = [["client", *CAPABILITIES]]
    for result in results:
        rows.append([result.client.title.replace("`", ""), *(result.capabilities.get(c, ("–", None))[0] for c in CAPABILITIES)])
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    for result in results:
        for capability, (_, what) in result.capabilities.items():
            if what:
                lines.append(f"{result.client.title}, {capability}: {what}")
    return "\n".join(lines)
