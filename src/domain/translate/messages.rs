//! The conversation: OpenAI's messages, which may come in any order, as Anthropic's, which may not
//! (`reference/anthropic-api.md` §1.6, §9.1 "Messages").
//!
//! Messages between two turns of the assistant are sorted: results of its calls come first, then the rest in its order.
//! Nothing is moved to the front, so that a longer history begins with the same bytes.

use super::{
    caching,
    history::History,
    instructions::{ASSISTANT_OPENS, BEGIN, ask_to_continue, in_system_tags, user},
    media,
    note::{Error, Notes},
    tools,
};
use crate::domain::{
    anthropic::{self, Breakpoint, ContentBlock, Format, RequestMessage, Role},
    catalog::Model,
    openai::{self, Content, Part},
};

/// Instructions and conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) system: Vec<ContentBlock>,
    /// Begins with the user; ends with the user or instructions, or with an answer to be continued.
    pub(super) messages: Vec<RequestMessage>,
    /// The client's own breakpoints.
    pub(super) marks: Vec<Breakpoint>,
}

/// Translates the conversation for a model with these rules and an answer of this format.
pub(super) fn conversation(
    given: &[openai::Message],
    history: &History<'_>,
    rules: &Model,
    format: Option<&Format>,
    notes: &mut Notes,
) -> Result<Conversation, Error> {
    let leading = given.iter().take_while(|message| is_instruction(message.role)).count();
    let mut system = Vec::new();
    for (at, message) in given[..leading].iter().enumerate() {
        system.extend(blocks(at, message, notes)?);
    }
    let mut turns = ConversationBuilder {
        rules,
        history,
        written: Vec::with_capacity(given.len() + 1 - leading),
        calls: Vec::new(),
        since: Vec::new(),
        ids: tools::ToolUseIds::default(),
        notes,
    };
    for (at, message) in given.iter().enumerate().skip(leading) {
        turns.take(at, message)?;
    }
    turns.close_gap();
    let mut messages = turns.written;
    match messages.first().map(|message| message.role) {
        Some(Role::Assistant) => {
            notes.add(
                "messages",
                "the assistant speaks first; a message of the user is put before it",
            );
            messages.insert(0, user(vec![ContentBlock::text(ASSISTANT_OPENS)]));
        }
        Some(_) => {}
        None if leading == given.len() && !system.is_empty() => {
            notes.add(
                "messages",
                "there are only instructions; a message of the user is put after them",
            );
            messages.push(user(vec![ContentBlock::text(BEGIN)]));
        }
        None => return Err(Error::NothingToAnswer),
    }
    let marks = caching::take_marks(&mut system, &mut messages, notes);
    let prefill = rules.prefill && format.is_none() && !history.plan.is_on();
    end(&mut messages, prefill, notes);
    Ok(Conversation { system, messages, marks })
}

/// Adapts the end of the conversation to the model.
fn end(messages: &mut Vec<RequestMessage>, prefill: bool, notes: &mut Notes) {
    let Some(RequestMessage { role: Role::Assistant, content }) = messages.last_mut() else {
        return;
    };
    if !prefill {
        let what = "this model has no prefill; it is asked to continue its last answer";
        notes.add("messages", what);
        ask_to_continue(messages);
    } else if let Some(ContentBlock::Text { text }) = content.last_mut() {
        let kept = text.trim_end_matches(anthropic::is_blank_char).len();
        if kept < text.len() {
            notes.add("messages", "white space at the end of the last answer is left out");
            text.truncate(kept);
        }
    }
}

/// The conversation as far as it is translated.
struct ConversationBuilder<'a, 'n> {
    rules: &'a Model,
    history: &'a History<'a>,
    written: Vec<RequestMessage>,
    /// Calls of the assistant's last turn.
    calls: Vec<tools::PendingCall<'a>>,
    /// Messages since the assistant's last turn, except results of calls; never empty.
    since: Vec<(Role, Vec<ContentBlock>)>,
    ids: tools::ToolUseIds,
    notes: &'n mut Notes,
}

impl<'a> ConversationBuilder<'a, '_> {
    fn take(&mut self, at: usize, message: &'a openai::Message) -> Result<(), Error> {
        if message.name.is_some() && message.role != openai::Role::Function {
            self.notes.once(|| format!("messages[{at}].name"), "names of speakers are left out");
        }
        let mut content = blocks(at, message, self.notes)?;
        let role = match message.role {
            openai::Role::Assistant => return self.assistant(at, message, content),
            openai::Role::System | openai::Role::Developer => Role::System,
            openai::Role::User => Role::User,
            openai::Role::Tool => {
                let Some(id) = &message.tool_call_id else {
                    return Err(Error::Missing { field: format!("messages[{at}].tool_call_id") });
                };
                if !tools::answer(&mut self.calls, id, &mut content) {
                    let what = "a result without a call that waits for one is left out";
                    self.notes.add(format!("messages[{at}]"), what);
                }
                return Ok(());
            }
            openai::Role::Function => {
                let name = message.name.as_deref();
                if !tools::answer_function(&mut self.calls, name, &mut content) {
                    let what = "a result without a call that waits for one is left out";
                    self.notes.add(format!("messages[{at}]"), what);
                }
                return Ok(());
            }
        };
        if content.is_empty() {
            self.notes.once(|| format!("messages[{at}]"), "a blank message is left out");
        } else {
            self.since.push((role, content));
        }
        Ok(())
    }

    fn assistant(
        &mut self,
        at: usize,
        message: &'a openai::Message,
        mut content: Vec<ContentBlock>,
    ) -> Result<(), Error> {
        leave_out_extras(at, message, self.notes);
        if let Some(refusal) = message.refusal.as_ref().filter(|text| !anthropic::is_blank(text)) {
            content.push(ContentBlock::text(refusal));
        }
        let calls = message.tool_calls.as_deref().unwrap_or_default();
        if content.is_empty() && calls.is_empty() && message.function_call.is_none() {
            self.notes.once(|| format!("messages[{at}]"), "a blank message is left out");
            return Ok(());
        }
        if !self.since.is_empty() || self.calls.iter().any(tools::PendingCall::is_answered) {
            self.close_gap();
        }
        let restored = self.history.restore(message);
        if restored.is_none() {
            let thinking = self.history.kept_thinking(at, message, self.notes);
            content.splice(0..0, thinking);
        }
        let mut is_renamed = false;
        for (number, call) in calls.iter().enumerate() {
            let path = format!("messages[{at}].tool_calls[{number}]");
            let (block, call) = self.ids.call(call, self.history.form, path, self.notes)?;
            is_renamed |= call.is_renamed();
            content.push(block);
            self.calls.push(call);
        }
        if let Some(call) = &message.function_call {
            let path = format!("messages[{at}].function_call");
            let (block, call) = self.ids.function_call(call, self.history.form, path, self.notes);
            content.push(block);
            self.calls.push(call);
        }
        // An id that stands elsewhere in the history, too, had to be changed, which an original cannot be.
        if let Some(restored) = restored.filter(|restored| !restored.is_empty() && !is_renamed) {
            content.retain(|block| matches!(block, ContentBlock::CacheMark(_)));
            content.splice(0..0, restored);
        }
        // One turn, however many messages it came in: the results of its calls must stand right after it.
        match self.written.last_mut() {
            Some(RequestMessage { role: Role::Assistant, content: turn }) => {
                turn.append(&mut content);
            }
            _ => self.written.push(RequestMessage { role: Role::Assistant, content }),
        }
        Ok(())
    }

    /// Appends the results and messages since the last turn of the assistant.
    fn close_gap(&mut self) {
        let results = tools::results(&mut self.calls, self.notes);
        let has_results = !results.is_empty();
        if has_results {
            self.written.push(user(results));
        }
        let last_user = self.since.iter().rposition(|(role, _)| *role == Role::User);
        let after_user = last_user.is_some()
            || self.written.last().is_some_and(|message| message.role == Role::User);
        for (at, (role, mut content)) in std::mem::take(&mut self.since).into_iter().enumerate() {
            if role == Role::User {
                match self.written.last_mut() {
                    // What the user says to the results stands beside them, so that a client's message is one.
                    Some(results) if has_results && at == 0 => results.content.append(&mut content),
                    _ => self.written.push(user(content)),
                }
                continue;
            }
            // Instructions may only follow a user turn and end it.
            let in_place = after_user && last_user.is_none_or(|last| at > last);
            if !(self.rules.system_messages && in_place) {
                let what =
                    "instructions in the middle are sent as text of the user, in <system> tags";
                self.notes.once(|| "messages".to_owned(), what);
                self.written.push(user(content.into_iter().map(in_system_tags).collect()));
                continue;
            }
            match self.written.last_mut() {
                Some(RequestMessage { role: Role::System, content: last }) => {
                    last.append(&mut content);
                }
                _ => self.written.push(RequestMessage { role: Role::System, content }),
            }
        }
    }
}

fn is_instruction(role: openai::Role) -> bool {
    matches!(role, openai::Role::System | openai::Role::Developer)
}

/// Notes fields of earlier answers that are left out.
fn leave_out_extras(at: usize, message: &openai::Message, notes: &mut Notes) {
    let extras = [("annotations", &message.annotations), ("audio", &message.audio)];
    for (name, value) in extras {
        let given = value.as_ref().is_some_and(|value| {
            value.as_array().is_none_or(|items| !items.is_empty()) && value.as_str() != Some("")
        });
        if given {
            let field = || format!("messages[{at}].{name}");
            notes.once(field, "citations and sound of earlier answers are left out");
        }
    }
}

/// The blocks of a message, except blank ones.
fn blocks(
    at: usize,
    message: &openai::Message,
    notes: &mut Notes,
) -> Result<Vec<ContentBlock>, Error> {
    let mut blocks = Vec::new();
    match &message.content {
        None => {}
        Some(Content::Text(text)) if anthropic::is_blank(text) => {}
        Some(Content::Text(text)) => blocks.push(ContentBlock::text(text)),
        Some(Content::Parts(parts)) => {
            for (number, part) in parts.iter().enumerate() {
                let path = |field: &str| format!("messages[{at}].content[{number}]{field}");
                blocks.extend(block(message.role, part, &path, notes)?);
                caching::mark(message.role, caching::of_part(part), &path, &mut blocks, notes);
            }
        }
    }
    let path = |field: &str| format!("messages[{at}]{field}");
    caching::mark(message.role, caching::of_message(message), &path, &mut blocks, notes);
    Ok(blocks)
}

/// One part, whose fields `path` names; `None` if it is left out.
fn block(
    role: openai::Role,
    part: &Part,
    path: &dyn Fn(&str) -> String,
    notes: &mut Notes,
) -> Result<Option<ContentBlock>, Error> {
    let text = |text: &Option<String>, field| match text {
        Some(text) if anthropic::is_blank(text) => Ok(None),
        Some(text) => Ok(Some(ContentBlock::text(text))),
        None => Err(Error::Missing { field: path(field) }),
    };
    match part.kind.as_str() {
        "text" => {
            let block = text(&part.text, ".text")?;
            if block.is_none() {
                notes.once(|| path(""), "a blank part is left out");
            }
            Ok(block)
        }
        "refusal" => text(&part.refusal, ".refusal"),
        "image_url" => {
            let Some(image) = &part.image_url else {
                return Err(Error::Missing { field: path(".image_url") });
            };
            if !matches!(role, openai::Role::User | openai::Role::Tool) {
                notes.once(|| path(""), "pictures are left out where the user does not speak");
                return Ok(None);
            }
            if image.detail.as_ref().is_some_and(|detail| detail != "auto") {
                notes.once(
                    || path(".image_url.detail"),
                    "is left out, because Claude looks at every picture alike",
                );
            }
            let field = || path(".image_url.url");
            match media::image(&image.url, &field, notes) {
                Ok(source) => Ok(Some(ContentBlock::Image { source })),
                Err(fault) => Err(Error::Image { field: field(), fault }),
            }
        }
        "input_audio" => Err(Error::Impossible {
            field: path(".type"),
            reason: "Claude cannot hear audio; send a transcript as text",
        }),
        "file" | "image" | "document"
            if !matches!(role, openai::Role::User | openai::Role::Tool) =>
        {
            notes.once(|| path(""), "files are left out where the user does not speak");
            Ok(None)
        }
        "file" => media::file(part, path, notes).map(Some),
        "image" | "document" => media::anthropic(part, path, notes).map(Some),
        "thinking" | "redacted_thinking" | "reasoning" if role == openai::Role::Assistant => {
            let what = "thinking, citations and sound of earlier answers are left out";
            notes.once(|| path(""), what);
            Ok(None)
        }
        kind => {
            Err(Error::UnknownPart { field: path(".type"), kind: kind.chars().take(64).collect() })
        }
    }
}
