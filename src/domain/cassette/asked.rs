//! The part of a request that is new: the messages after the last answer in it, in either dialect. Clients send the whole
//! conversation with every request.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use serde::Deserialize;

use super::tree::Tree;

/// The new messages of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The texts of the user.
    pub texts: Vec<String>,
    /// The kinds of other content: image, document, audio.
    pub media: Vec<String>,
    /// The results of the tools that the answer before called.
    pub results: Vec<ToolResult>,
    /// The text of that answer; `None`: there is none, or it is not known.
    pub after: Option<String>,
}

/// The result of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// The name of the tool, if the request has its call.
    pub tool: Option<String>,
    /// The text of the result.
    pub content: String,
}

impl Asked {
    /// The new messages of a request, given as JSON; `None` if it has no messages.
    pub fn of(body: &str) -> Option<Self> {
        Some(Self::of_items(Tree::parse(body).ok()?.get("messages")?.items()?))
    }

    /// The new ones of the last messages of a request, each given as JSON; `None` if they are no JSON.
    pub fn of_messages(messages: &[Vec<u8>]) -> Option<Self> {
        Some(Self::of_items(Tree::parse(&list(messages)?).ok()?.items()?))
    }

    fn of_items(messages: &[Tree<'_>]) -> Self {
        let Range { start, end } = new(messages);
        let mut tools = HashMap::new();
        messages[..start].iter().for_each(|message| calls(message, &mut tools));
        let before = start.checked_sub(1).and_then(|at| messages[at].get("content"));
        let after = before.map(text).filter(|text| !text.is_empty());
        let mut asked = Self { after, ..Self::default() };
        for message in &messages[start..end] {
            let Some(content) = message.get("content") else { continue };
            match message.get("role").and_then(Tree::text).as_deref() {
                Some("tool" | "function") => {
                    let id = message.get("tool_call_id").and_then(Tree::text);
                    let tool = id.and_then(|id| tools.get(&*id).cloned());
                    let tool = tool.or_else(|| Some(message.get("name")?.text()?.into_owned()));
                    asked.results.push(ToolResult { tool, content: text(content) });
                }
                Some("user") => asked.add(content, &tools),
                _ => {}
            }
        }
        asked
    }

    fn add(&mut self, content: &Tree<'_>, tools: &HashMap<String, String>) {
        if let Some(text) = content.text() {
            self.texts.push(text.into_owned());
            return;
        }
        for part in content.items().unwrap_or_default() {
            let kind = part.get("type").and_then(Tree::text).unwrap_or_default();
            match &*kind {
                "tool_result" => {
                    let id = part.get("tool_use_id").and_then(Tree::text);
                    let tool = id.and_then(|id| tools.get(&*id).cloned());
                    let content = part.get("content").map(text).unwrap_or_default();
                    self.results.push(ToolResult { tool, content });
                }
                _ => match part.get("text").and_then(Tree::text) {
                    Some(text) => self.texts.push(text.into_owned()),
                    None => self.media.push(medium(&kind).to_owned()),
                },
            }
        }
    }
}

/// The places of the new messages: those after the last answer that has some after it. The beginning of the next answer
/// is none.
fn new(messages: &[Tree<'_>]) -> Range<usize> {
    let is_answer = |message: &Tree<'_>| has(message, "role", "assistant");
    let end = messages.iter().rposition(|message| !is_answer(message)).map_or(0, |at| at + 1);
    let start = messages[..end].iter().rposition(is_answer).map_or(0, |at| at + 1);
    start..end
}

/// A JSON list of messages; `None` if one is no text.
fn list(messages: &[Vec<u8>]) -> Option<String> {
    let texts = messages.iter().map(|message| std::str::from_utf8(message).ok());
    Some(format!("[{}]", texts.collect::<Option<Vec<_>>>()?.join(",")))
}

/// Visits the new ones of messages that are given as JSON; none if they cannot be read.
pub(super) fn each_new(messages: &[Vec<u8>], visit: impl FnMut(&Tree<'_>)) {
    let list = list(messages).unwrap_or_default();
    if let Ok(tree) = Tree::parse(&list)
        && let Some(items) = tree.items()
    {
        items[new(items)].iter().for_each(visit);
    }
}

/// Returns whether a message, given as JSON, is an answer.
pub fn is_answer(message: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        role: Option<Cow<'a, str>>,
    }
    let message = serde_json::from_slice::<Message<'_>>(message);
    message.is_ok_and(|message| message.role.as_deref() == Some("assistant"))
}

fn has(value: &Tree<'_>, name: &str, text: &str) -> bool {
    value.get(name).and_then(Tree::text).is_some_and(|value| value == text)
}

/// Adds the tools that an answer called, by the ids of the calls.
fn calls(message: &Tree<'_>, tools: &mut HashMap<String, String>) {
    let of_openai = message.get("tool_calls").and_then(Tree::items).unwrap_or_default();
    let of_anthropic = message.get("content").and_then(Tree::items).unwrap_or_default();
    let of_openai = of_openai.iter().map(|call| (call, call.get("function").unwrap_or(call)));
    let of_anthropic = of_anthropic.iter().map(|block| (block, block));
    for (call, function) in of_openai.chain(of_anthropic) {
        let id = call.get("id").and_then(Tree::text);
        let name = function.get("name").and_then(Tree::text);
        if let (Some(id), Some(name)) = (id, name) {
            tools.insert(id.into_owned(), name.into_owned());
        }
    }
}

/// The text of a content; parts that are no text by their kind.
fn text(content: &Tree<'_>) -> String {
    if let Some(text) = content.text() {
        return text.into_owned();
    }
    let parts = content.items().unwrap_or_default().iter().map(|part| {
        let kind = || part.get("type").and_then(Tree::text).unwrap_or_default();
        let text = part.get("text").and_then(Tree::text);
        text.map_or_else(|| format!("[{}]", medium(&kind())), Into::into)
    });
    parts.collect::<Vec<_>>().join("\n")
}

/// The kind of a part of a message, in one word for both dialects.
pub(super) fn medium(kind: &str) -> &str {
    match kind {
        "image_url" | "input_image" => "image",
        "input_audio" => "audio",
        "file" | "input_file" => "document",
        "" => "part of an unknown kind",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(messages: &serde_json::Value) -> Asked {
        Asked::of(&json!({ "messages": messages }).to_string()).expect("messages")
    }

    fn result(tool: Option<&str>, content: &str) -> ToolResult {
        ToolResult { tool: tool.map(str::to_owned), content: content.to_owned() }
    }

    #[test]
    fn a_tool_round_of_either_dialect_is_its_results() {
        let user = json!({"role": "user", "content": "Weather?"});
        let call = |id| json!({"id": id, "function": {"name": "weather", "arguments": "{}"}});
        let openai = json!([
            user,
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "rain"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "sun"}]},
            {"role": "tool", "tool_call_id": "c", "content": "?"},
        ]);
        let expected =
            [result(Some("weather"), "rain"), result(Some("weather"), "sun"), result(None, "?")];
        assert_eq!(asked(&openai), Asked { results: expected.into(), ..Asked::default() });
        let anthropic = json!([
            user,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": {}}]},
                {"type": "text", "text": "And now?"},
            ]},
        ]);
        let expected = Asked {
            texts: vec!["And now?".to_owned()],
            results: vec![result(Some("weather"), "[image]")],
            after: Some("[tool_use]".to_owned()),
            ..Asked::default()
        };
        assert_eq!(asked(&anthropic), expected);
    }

    #[test]
    fn only_what_follows_the_last_answer_is_new() {
        let messages = json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": [
                {"type": "text", "text": "Two?"},
                {"type": "image_url", "image_url": {"url": "x"}},
            ]},
            {"role": "user", "content": "Three?"},
            {"role": "assistant", "content": "The answer is"},
        ]);
        let expected = Asked {
            texts: ["Two?", "Three?"].map(str::to_owned).into(),
            media: vec!["image".to_owned()],
            after: Some("1".to_owned()),
            ..Asked::default()
        };
        assert_eq!(asked(&messages), expected);
        assert_eq!(asked(&json!([])), Asked::default());
        assert_eq!(asked(&json!([{"role": "assistant", "content": "x"}])), Asked::default());
        assert_eq!(Asked::of("{}"), None);
    }
}
