//! Recognition of Open WebUI's background tasks by their prompts, for connections without the header `X-OWUI-Task`
//! (`reference/open-webui.md` §3, §4).
//!
//! A prompt that an administrator rewrote is not recognized, and is answered like a chat: more expensive, but not wrong.

use super::openai::{Content, Message, Request, Role};

/// The prompt by which a task is recognized.
struct TaskPrompt {
    /// Open WebUI's word for it.
    task: &'static str,
    /// The beginning of the instructions, where it sends any.
    system: Option<&'static str>,
    /// The beginning of the only message.
    user: &'static str,
    /// `true` if the answer is streamed when the chat to which it belongs is.
    may_stream: bool,
}

/// The prompt of a task with one message and without a stream.
const fn begins(task: &'static str, user: &'static str) -> TaskPrompt {
    TaskPrompt { task, system: None, user, may_stream: false }
}

/// The prompts of all tasks: whole first lines, because a question about a document also begins with `### Task:`.
const PROMPTS: &[TaskPrompt] = &[
    begins("title_generation", "### Task:\nGenerate a concise title summarizing the chat history."),
    begins(
        "tags_generation",
        "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history",
    ),
    begins(
        "follow_up_generation",
        "### Task:\nPredict 3-5 useful messages this user might naturally send next",
    ),
    begins(
        "query_generation",
        "### Task:\nAnalyze the chat history to determine the necessity of generating search queries",
    ),
    begins(
        "image_prompt_generation",
        "### Task:\nGenerate a detailed prompt for am image generation task",
    ),
    begins("autocomplete_generation", "### Task:\nYou are an autocompletion system."),
    begins(
        "context_compaction",
        "### Task:\nSummarize the conversation history that will be compacted out of the active chat",
    ),
    begins(
        "emoji_generation",
        "Your task is to reflect the speaker's likely facial expression through a fitting emoji.",
    ),
    TaskPrompt {
        task: "moa_response_generation",
        system: None,
        user: "You have been provided with a set of responses from various models to the latest user query:",
        may_stream: true,
    },
    TaskPrompt {
        task: "function_calling",
        system: Some("Available Tools: ["),
        user: "History:\n",
        may_stream: false,
    },
    TaskPrompt {
        task: "memory_review",
        system: Some("You are Open WebUI's private memory reviewer."),
        user: "Review the completed conversation turn",
        may_stream: false,
    },
];

/// Open WebUI's word for a background call, by that word or without its `_generation`.
pub fn named(name: &str) -> Option<&'static str> {
    let is = |task: &&str| *task == name || task.strip_suffix("_generation") == Some(name);
    PROMPTS.iter().map(|prompt| prompt.task).find(is)
}

/// Open WebUI's word for the background call that this request looks like, if it looks like one.
pub fn recognise(request: &Request) -> Option<&'static str> {
    if request.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
        return None;
    }
    let (system, user) = match &*request.messages {
        [user] => (None, text(user, Role::User)?),
        [system, user] => (Some(text(system, Role::System)?), text(user, Role::User)?),
        _ => return None,
    };
    let streams = request.stream.unwrap_or(false);
    let fits = |prompt: &&TaskPrompt| {
        user.starts_with(prompt.user)
            && (!streams || prompt.may_stream)
            && match (prompt.system, system) {
                // A model's own instructions stand in its tasks, too.
                (None, _) => true,
                (Some(beginning), Some(system)) => system.starts_with(beginning),
                (Some(_), None) => false,
            }
    };
    PROMPTS.iter().find(fits).map(|prompt| prompt.task)
}

/// The text of a message of this role; `None` for content in parts.
fn text(message: &Message, role: Role) -> Option<&str> {
    match &message.content {
        Some(Content::Text(text)) if message.role == role => Some(text.trim_start()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const TITLE: &str = "### Task:\nGenerate a concise title summarizing the chat history.\n### Guidelines:\n- Short.";

    fn task(body: &Value) -> Option<&'static str> {
        recognise(&Request::parse(body.to_string().as_bytes()).unwrap())
    }

    fn asks(user: &str) -> Value {
        json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": user}]})
    }

    #[test]
    fn each_task_is_told_by_its_first_line() {
        for prompt in PROMPTS {
            let mut body = asks(&format!("{} and more", prompt.user));
            if let Some(system) = prompt.system {
                let system = json!({"role": "system", "content": format!("{system} and more")});
                body["messages"].as_array_mut().unwrap().insert(0, system);
            }
            assert_eq!(task(&body), Some(prompt.task));
        }
    }

    #[test]
    fn a_task_is_one_text_without_a_stream_or_tools() {
        assert_eq!(task(&asks(TITLE)), Some("title_generation"));
        let with = |field: &str, value: Value| {
            let mut body = asks(TITLE);
            body[field] = value;
            task(&body)
        };
        let message = |role: &str, content: Value| json!({"role": role, "content": content});
        assert_eq!(with("stream", json!(true)), None);
        assert_eq!(with("tools", json!([{"function": {"name": "clock"}}])), None);
        assert_eq!(with("tools", json!([])), Some("title_generation"));
        let parts = json!([{"type": "text", "text": TITLE}]);
        assert_eq!(with("messages", json!([message("user", parts)])), None);
        let system = message("system", json!("Be kind."));
        let instructed = json!([system, message("user", json!(TITLE))]);
        assert_eq!(with("messages", instructed), Some("title_generation"), "a model's own");
        let user = message("user", json!(TITLE));
        let assistant = message("assistant", json!("Sure."));
        assert_eq!(with("messages", json!([user, assistant, user])), None);
        assert_eq!(with("messages", json!([])), None);
    }

    #[test]
    fn a_question_is_no_task() {
        assert_eq!(task(&asks("### Task:\nRespond to the user query using the context.")), None);
        assert_eq!(task(&asks("What is a concise title?")), None);
    }

    #[test]
    fn merged_answers_may_be_streamed() {
        let mut body = asks(
            "You have been provided with a set of responses from various models to the latest user query: \"Why?\"",
        );
        body["stream"] = json!(true);
        assert_eq!(task(&body), Some("moa_response_generation"));
    }
}
