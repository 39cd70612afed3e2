//! A session as Markdown.

use super::{Branch, Session, Turn};

pub(super) fn of(session: &Session) -> String {
    let Session { summary, turns, .. } = session;
    let mut out = format!("# {}\n\n{}\n", summary.title, summary.in_words());
    for turn in turns.iter().filter(|turn| turn.task.is_none()) {
        out += &section(turn);
    }
    let tasks: Vec<String> = turns
        .iter()
        .filter_map(|turn| {
            let task = turn.task.as_ref()?;
            let answer = turn.answer.as_deref().unwrap_or_default().trim().replace('\n', " ");
            Some(format!("- {task} ({}): `{answer}`\n", turn.bill()))
        })
        .collect();
    if !tasks.is_empty() {
        out += "\n## Background calls\n\n";
        out += &tasks.concat();
    }
    out
}

fn section(turn: &Turn) -> String {
    let branch = turn.branch_in_words().map(|branch| format!(" ({branch})")).unwrap_or_default();
    let mut out = format!("\n## {}{branch}\n", turn.number);
    // A request that is repeated is not printed again.
    if !matches!(turn.branch, Some(Branch::Again(_))) {
        for result in &turn.results {
            let tool = result.tool.as_deref().unwrap_or("a tool");
            let fence = fence(&result.content);
            out.extend(["\nResult of `", tool, "`\n\n", &fence, "\n", result.content.trim_end()]);
            out.extend(["\n", &fence, "\n"]);
        }
        if let Some(question) = turn.question_in_words() {
            out += "\n";
            for line in question.lines() {
                out.extend([format!("> {line}").trim_end(), "\n"]);
            }
        }
    }
    // Between question and answer, since both may quote.
    out.extend(["\n*", &turn.bill(), "*\n"]);
    if let Some(first) = turn.same_answer_as {
        out.extend(["\nThe answer of ", &first.to_string(), ".\n"]);
    } else {
        answer(turn, &mut out);
    }
    out
}

fn answer(turn: &Turn, out: &mut String) {
    if let Some(thinking) = &turn.thinking {
        out.extend([
            "\n<details><summary>Thinking</summary>\n\n",
            thinking.trim(),
            "\n\n</details>\n",
        ]);
    }
    if let Some(answer) = &turn.answer {
        out.extend(["\n", answer.trim(), "\n"]);
    }
    for tool in &turn.tools {
        out.extend(["\nCalls `", tool, "`\n"]);
    }
    if let Some(absence) = turn.absence_in_words() {
        out.extend(["\n", &absence, "\n"]);
    }
}

/// A fence that is longer than any in the text.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
