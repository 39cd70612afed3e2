//! The conversation: OpenAI's messages, which may come in any order, as Anthropic's, which may not
//! (`reference/anthropic-api.md` §1.6, §9.1 "Messages").
//!
//! Messages between two turns of the assistant are sorted: results of its calls come first, then the rest in its order.
//! Nothing is moved to the front, so that a longer history begins with the same bytes.

use super::{
    caching,
    context::Cancellation,
    history::History,
    instructions::{ASSISTANT_OPENS, BEGIN, ask_to_continue, in_system_tags, user},
    media::PictureLimits,
    note::{Error, Notes},
    parts::{blocks, leave_out_extras},
    tools::{self, ToolResult},
    turn::{Turn, last_turn},
};
use crate::domain::{
    anthropic::{self, Breakpoint, ContentBlock, Format, RequestMessage, Role},
    catalog::Model,
    openai,
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
    cancellation: Cancellation<'_>,
    rules: &Model,
    format: Option<&Format>,
    notes: &mut Notes,
) -> Result<Conversation, Error> {
    let leading = given.iter().take_while(|message| is_instruction(message.role)).count();
    let limits = PictureLimits::of(given, cancellation);
    let mut system = Vec::new();
    for (at, message) in given[..leading].iter().enumerate() {
        system.extend(blocks(&message.path(at), message, Turn::Last, &limits, notes)?);
    }
    let mut turns = ConversationBuilder {
        rules,
        limits: &limits,
        history,
        last_turn: last_turn(given),
        written: Vec::with_capacity(given.len() + 1 - leading),
        calls: tools::PendingCalls::default(),
        unanswered: tools::UnansweredCalls::default(),
        orphans: Vec::new(),
        since: Vec::new(),
        ids: tools::ToolUseIds::default(),
        notes,
    };
    for (at, message) in given.iter().enumerate().skip(leading) {
        cancellation.check()?;
        turns.take(at, message)?;
    }
    turns.close_gap();
    let last = given.last().map(|message| message.path(given.len() - 1));
    turns.settle_results(last.as_deref())?;
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
    limits: &'a PictureLimits<'a>,
    history: &'a History<'a>,
    /// Position of the first message that the client can still change.
    last_turn: usize,
    written: Vec<RequestMessage>,
    /// Calls of the assistant's last turn.
    calls: tools::PendingCalls<'a>,
    /// Calls of earlier turns that have no result yet.
    unanswered: tools::UnansweredCalls<'a>,
    /// Results without a call so far, with their paths.
    orphans: Vec<(String, ToolResult<'a>)>,
    /// Messages since the assistant's last turn, except results of calls; never empty.
    since: Vec<(Role, Vec<ContentBlock>)>,
    ids: tools::ToolUseIds,
    notes: &'n mut Notes,
}

impl<'a> ConversationBuilder<'a, '_> {
    fn take(&mut self, at: usize, message: &'a openai::Message) -> Result<(), Error> {
        if message.name.is_some() && message.role != openai::Role::Function {
            let field = || format!("{}.name", message.path(at));
            self.notes.once(field, "names of speakers are left out");
        }
        let turn = if at < self.last_turn { Turn::Earlier } else { Turn::Last };
        let content = blocks(&message.path(at), message, turn, self.limits, self.notes)?;
        let role = match message.role {
            openai::Role::Assistant => return self.assistant(at, message, content),
            openai::Role::System | openai::Role::Developer => Role::System,
            openai::Role::User => Role::User,
            openai::Role::Tool | openai::Role::Function => {
                self.result(&message.path(at), ToolResult::new(message, content));
                return Ok(());
            }
        };
        if content.is_empty() {
            self.notes.once(|| message.path(at), "a blank message is left out");
        } else {
            self.since.push((role, content));
        }
        Ok(())
    }

    /// Gives a result to its call, wherever that is.
    fn result(&mut self, path: &str, result: ToolResult<'a>) {
        let Some(result) = self.calls.answer(result, path, self.notes) else { return };
        match self.unanswered.take(&result) {
            Some(place) => {
                let what = "a result that comes late is moved to its call";
                self.notes.once(|| path.to_owned(), what);
                place.fill(result, &mut self.written);
            }
            None => self.orphans.push((path.to_owned(), result)),
        }
    }

    /// Gives results that came before their calls to these, and notes what is left on either side.
    /// `last` is the path of the last message.
    fn settle_results(&mut self, last: Option<&str>) -> Result<(), Error> {
        let mut left = Vec::new();
        for (path, result) in std::mem::take(&mut self.orphans) {
            if let Some(place) = self.unanswered.take(&result) {
                let what = "a result that comes before its call is moved to it";
                self.notes.once(|| path, what);
                place.fill(result, &mut self.written);
            } else if result.is_nameless() && Some(&*path) == last {
                return Err(Error::Missing { field: format!("{path}.tool_call_id") });
            } else {
                let what = "a result without a call that waits for one is left out";
                self.notes.add(path, what);
                left.extend(result.into_content());
            }
        }
        for at in std::mem::take(&mut self.unanswered).into_paths() {
            let what = "has no result in the history; an error is sent in its place";
            self.notes.add(at, what);
        }
        // A history that was cut may begin within the results.
        left.retain(|block| !matches!(block, ContentBlock::CacheMark(_)));
        if self.written.is_empty() && !left.is_empty() {
            self.notes
                .add("messages", "there are only results of calls, which are sent as the user's");
            self.written.push(user(left));
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
            self.notes.once(|| message.path(at), "a blank message is left out");
            return Ok(());
        }
        if !self.since.is_empty() || self.calls.is_answered() {
            self.close_gap();
        }
        let restored = self.history.restore(message);
        if restored.is_none() {
            let thinking = self.history.kept_thinking(at, message, self.notes);
            content.splice(0..0, thinking);
        }
        let mut is_renamed = false;
        for (number, call) in calls.iter().enumerate() {
            let path = || format!("{}.tool_calls[{number}]", message.path(at));
            let path = call.origin.clone().unwrap_or_else(path);
            let (block, call) = self.ids.call(call, self.history.form, path, self.notes)?;
            is_renamed |= call.is_renamed();
            content.push(block);
            self.calls.push(call);
        }
        if let Some(call) = &message.function_call {
            let path = format!("{}.function_call", message.path(at));
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
        let results = self.calls.take_results(self.written.len(), &mut self.unanswered);
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
