//! Results of calls in a history. Anthropic wants each right after its call; clients send them late, early, twice or
//! not at all.

use std::collections::HashMap;

use super::super::note::Notes;
use crate::domain::{
    anthropic::{ContentBlock, RequestMessage},
    openai,
};

/// A call of the history that waits for its result.
#[derive(Debug)]
pub(in crate::domain::translate) struct PendingCall<'a> {
    given: ResultKey<'a>,
    id: String,
    /// The path to the call in the client's request.
    at: String,
    result: Option<ToolResult<'a>>,
}

/// The key by which a result names its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ResultKey<'a> {
    Id(&'a str),
    /// The name of a function, in the deprecated form.
    Name(&'a str),
}

impl<'a> PendingCall<'a> {
    /// The call at the path `at`, which results name by `given`, and upstream by `id`.
    pub(super) fn new(given: ResultKey<'a>, id: String, at: String) -> Self {
        Self { given, id, at, result: None }
    }

    /// True if the id differs from the client's.
    pub(in crate::domain::translate) fn is_renamed(&self) -> bool {
        !matches!(self.given, ResultKey::Id(given) if given == self.id)
    }

    /// True if the call has a result.
    pub(in crate::domain::translate) fn is_answered(&self) -> bool {
        self.result.is_some()
    }
}

/// A result of the client's.
#[derive(Debug)]
pub(in crate::domain::translate) struct ToolResult<'a> {
    id: Option<&'a str>,
    /// The function, in the deprecated form.
    function: Option<&'a str>,
    content: Vec<ContentBlock>,
    is_error: bool,
}

impl<'a> ToolResult<'a> {
    /// The result that a message with this content is.
    pub(in crate::domain::translate) fn new(
        message: &'a openai::Message,
        content: Vec<ContentBlock>,
    ) -> Self {
        let is_function = message.role == openai::Role::Function;
        Self {
            id: message.tool_call_id.as_deref(),
            function: is_function.then(|| message.name.as_deref().unwrap_or_default()),
            content,
            is_error: message.is_error,
        }
    }

    /// The content alone.
    pub(in crate::domain::translate) fn into_content(self) -> Vec<ContentBlock> {
        self.content
    }

    /// True if the result says of no call that it is the call's.
    pub(in crate::domain::translate) fn is_nameless(&self) -> bool {
        self.keys().next().is_none()
    }

    fn keys(&self) -> impl Iterator<Item = ResultKey<'a>> {
        let by_name = self.function.map(ResultKey::Name);
        self.id.map(ResultKey::Id).into_iter().chain(by_name)
    }

    fn into_block(mut self, tool_use_id: String) -> ContentBlock {
        let is_mark = |block: &ContentBlock| matches!(block, ContentBlock::CacheMark(_));
        // Anthropic takes no failure that says nothing.
        if self.is_error && self.content.iter().all(is_mark) {
            self.content.insert(0, ContentBlock::text("The call failed."));
        }
        let Self { content, is_error, .. } = self;
        ContentBlock::ToolResult { tool_use_id, content, is_error }
    }
}

/// Attaches a result to the call that it names; one that names none to the oldest call that waits for a result.
/// Returns it if there is no such call.
pub(in crate::domain::translate) fn answer<'a>(
    calls: &mut [PendingCall<'a>],
    result: ToolResult<'a>,
    path: &str,
    notes: &mut Notes,
) -> Option<ToolResult<'a>> {
    let first = |is_meant: &dyn Fn(ResultKey<'_>) -> bool| {
        calls.iter().position(|call| !call.is_answered() && is_meant(call.given))
    };
    let named = result.keys().find_map(|key| first(&|given| given == key));
    let at = match (named, result.id) {
        (Some(at), _) => Some(at),
        // There can be only one call of a function.
        (None, _) if result.function.is_some() => {
            first(&|given| matches!(given, ResultKey::Name(_)))
        }
        (None, None) => {
            let at = first(&|_| true);
            if at.is_some() {
                let what = "a result that names no call is given to the oldest that waits for one";
                notes.once(|| path.to_owned(), what);
            }
            at
        }
        (None, Some(_)) => None,
    };
    match at {
        Some(at) => {
            calls[at].result = Some(result);
            None
        }
        None => Some(result),
    }
}

/// The results of all calls of a turn, in the order of the calls: all must stand in the next message, the one at
/// `message`. Calls without one get an error, until their result comes.
pub(in crate::domain::translate) fn results<'a>(
    calls: &mut Vec<PendingCall<'a>>,
    message: usize,
    unanswered: &mut UnansweredCalls<'a>,
) -> Vec<ContentBlock> {
    let all = calls.drain(..).enumerate();
    all.map(|(block, PendingCall { given, id, at, result })| {
        if let Some(result) = result {
            return result.into_block(id);
        }
        unanswered.0.entry(given).or_default().push(ResultPlace { at, message, block });
        let content = vec![ContentBlock::text("No result of this call was recorded.")];
        ContentBlock::ToolResult { tool_use_id: id, content, is_error: true }
    })
    .collect()
}

/// Calls of earlier turns without a result, by the key by which one would name them; of one key, the last comes last.
#[derive(Debug, Default)]
pub(in crate::domain::translate) struct UnansweredCalls<'a>(
    HashMap<ResultKey<'a>, Vec<ResultPlace>>,
);

impl<'a> UnansweredCalls<'a> {
    /// Removes the last call that this result names, and returns the place for the result.
    pub(in crate::domain::translate) fn take(
        &mut self,
        result: &ToolResult<'a>,
    ) -> Option<ResultPlace> {
        result.keys().find_map(|key| self.0.get_mut(&key)?.pop())
    }

    /// The paths to all calls in the client's request, in their order.
    pub(in crate::domain::translate) fn into_paths(self) -> Vec<String> {
        let mut places: Vec<ResultPlace> = self.0.into_values().flatten().collect();
        places.sort_by_key(|place| (place.message, place.block));
        places.into_iter().map(|place| place.at).collect()
    }
}

/// The place of a missing result among the messages that go upstream.
#[derive(Debug)]
pub(in crate::domain::translate) struct ResultPlace {
    /// The path to the call in the client's request.
    at: String,
    message: usize,
    block: usize,
}

impl ResultPlace {
    /// Puts the result there.
    pub(in crate::domain::translate) fn fill(
        &self,
        result: ToolResult<'_>,
        messages: &mut [RequestMessage],
    ) {
        let message = messages.get_mut(self.message);
        let block = message.and_then(|message| message.content.get_mut(self.block));
        if let Some(block @ ContentBlock::ToolResult { .. }) = block
            && let ContentBlock::ToolResult { tool_use_id, .. } = &*block
        {
            *block = result.into_block(tool_use_id.clone());
        }
    }
}
