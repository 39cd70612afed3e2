//! A session as Markdown.

use super::{Session, Turn};

pub(super) fn of(session: &Session) -> String {
    let Session { summary, turns } = session;
    let mut out = format!(
        "# {}\n\n{} UTC · {} calls · {}\n",
        summary.title,
        summary.began,
        summary.calls,
        summary.cost_in_words()
    );
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
    let mut out = format!("\n## {}{branch}\n\n", turn.number);
    let question = turn.question.as_deref().unwrap_or("(not kept, or no text)");
    for line in question.lines() {
        out.extend([format!("> {line}").trim_end(), "\n"]);
    }
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
    out.extend(["\n*", &turn.bill(), "*\n"]);
    out
}
