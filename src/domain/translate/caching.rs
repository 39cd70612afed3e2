//! Breakpoints for prompt caching (`reference/anthropic-api.md` §1.7, §9.1). OpenAI caches prompts without being asked,
//! Anthropic does not, so breakpoints are set here, unless the client sets its own.
//!
//! A breakpoint pays off if the next request begins with the same bytes up to it. So the last breakpoint stands on the
//! last block that the next turn will still have, and another where the previous request had its last: Anthropic looks
//! back over twenty blocks only, and a loop of tool calls may add more.

use serde_json::Value;

use super::{context::Occasion, instructions::CONTINUE, note::Notes};
use crate::domain::{
    anthropic::{
        BlockPosition, Breakpoint, ContentBlock, Request, RequestMessage, Role, Source, Ttl,
    },
    catalog::Model,
    openai::{self, Part},
};

/// Maximum number of breakpoints.
const MOST: usize = 4;
/// Maximum on tools and instructions together: each breakpoint caches everything before it.
const MOST_OF_FRAME: usize = 2;
/// Lower bound for the bytes of text in a token.
const BYTES_A_TOKEN: usize = 2;
/// The beginning of the prompt into which Open WebUI puts what it found in files (`reference/open-webui.md` §2). In
/// the next turn it takes it out again.
const RETRIEVAL: &str = "### Task:\nRespond to the user query using the provided context";

/// The breakpoints of a translated request: at most four, in the order of the prompt. `marks` are the client's own, on
/// instructions and messages.
pub(super) fn breakpoints(
    request: &openai::Request,
    translated: &Request,
    marks: Vec<Breakpoint>,
    rules: &Model,
    occasion: Occasion,
    notes: &mut Notes,
) -> Vec<Breakpoint> {
    let given = request.tools.as_deref().unwrap_or_default();
    // Tools are translated one to one; a search of the web comes after them.
    let mut all: Vec<Breakpoint> = (0..translated.tools.len().min(given.len()))
        .filter_map(|at| {
            Some(Breakpoint { at: BlockPosition::Tool(at), ttl: of_tool(&given[at])? })
        })
        .collect();
    all.extend(marks);
    if !all.is_empty() {
        return in_bounds(all, notes);
    }
    let options = request.prompt_cache_options.as_ref();
    let is_explicit = options.and_then(|options| options.get("mode")?.as_str()) == Some("explicit");
    let ttl = wanted_ttl(request, notes);
    if is_explicit || occasion == Occasion::Task || is_short(translated, rules) {
        return Vec::new();
    }
    positions(translated, occasion).into_iter().map(|at| Breakpoint { at, ttl }).collect()
}

/// Shifts breakpoints on instructions by one.
pub(super) fn move_on(marks: &mut [Breakpoint]) {
    for mark in marks {
        if let BlockPosition::System(at) = &mut mark.at {
            *at += 1;
        }
    }
}

/// The blocks to mark where the client marks none.
fn positions(request: &Request, occasion: Occasion) -> Vec<BlockPosition> {
    let Request { tools, system, messages, .. } = request;
    let mut positions = Vec::with_capacity(MOST);
    positions.extend(tools.len().checked_sub(1).map(BlockPosition::Tool));
    positions.extend(system.iter().rposition(is_cacheable).map(BlockPosition::System));
    let is_of = |role| move |message: &RequestMessage| message.role == role;
    let goes_on = occasion == Occasion::Chat
        || !tools.is_empty()
        || messages.iter().any(is_of(Role::Assistant));
    if !goes_on {
        return positions;
    }
    let Some(last_stable) = last_stable(messages) else { return positions };
    // Where the request before this one ended: what the user said in a row counts as one.
    let before = messages[..=last_stable]
        .iter()
        .rposition(is_of(Role::Assistant))
        .and_then(|answer| messages[..answer].iter().rposition(is_of(Role::User)));
    for message in before.into_iter().chain([last_stable]) {
        let block = messages[message].content.iter().rposition(is_cacheable);
        positions.extend(block.map(|block| BlockPosition::Message { message, block }));
    }
    positions
}

/// The last message that the next turn will repeat unchanged.
fn last_stable(messages: &[RequestMessage]) -> Option<usize> {
    let is_user = |message: &RequestMessage| message.role == Role::User;
    let last = messages.iter().rposition(is_user)?;
    let mut texts = messages[last].content.iter().filter_map(|block| match block {
        ContentBlock::Text { text } => Some(text.as_str()),
        _ => None,
    });
    if texts.clone().any(|text| text.starts_with(RETRIEVAL) && text.contains("<context>")) {
        // The next turn has other documents.
        last.checked_sub(1)
    } else if messages[last].content.len() == 1 && texts.next() == Some(CONTINUE) {
        // It exists for this turn only, and the answer before it will be longer by then.
        messages[..last].iter().rposition(is_user)
    } else {
        Some(last)
    }
}

/// True if the prompt is certainly shorter than the minimum that Anthropic caches.
fn is_short(request: &Request, rules: &Model) -> bool {
    let enough = usize::try_from(rules.min_cacheable_tokens)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_A_TOKEN);
    let blocks = request.messages.iter().flat_map(|message| &message.content);
    let texts = request.system.iter().chain(blocks).map(size);
    // Tools are only written where the texts do not suffice.
    let sizes = texts.chain(request.tools.iter().map(json_size));
    let mut sum = 0_usize;
    for size in sizes {
        sum = sum.saturating_add(size);
        if sum >= enough {
            return false;
        }
    }
    true
}

/// Size of a block in bytes of text.
fn size(block: &ContentBlock) -> usize {
    /// The tokens of an image or a document are not known here; it counts as enough.
    const UNKNOWN: usize = usize::MAX;
    match block {
        ContentBlock::Text { text } => text.len(),
        ContentBlock::ToolResult { content, .. } => {
            content.iter().map(size).fold(0, usize::saturating_add)
        }
        ContentBlock::Thinking { thinking, .. } => thinking.len(),
        ContentBlock::RedactedThinking { data }
        | ContentBlock::Document { source: Source::Text { data, .. }, .. } => data.len(),
        ContentBlock::ToolUse { input, .. } => json_size(input),
        ContentBlock::Original(raw) => raw.get().len(),
        ContentBlock::CacheMark(_) => 0,
        ContentBlock::Image { .. } | ContentBlock::Document { .. } => UNKNOWN,
    }
}

fn json_size<T: serde::Serialize>(value: &T) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

/// True for a block that may have a breakpoint; thinking may not (§1.7).
fn is_cacheable(block: &ContentBlock) -> bool {
    !block.is_thinking() && !matches!(block, ContentBlock::CacheMark(_))
}

/// The client's mark on a part, in OpenAI's or in Anthropic's form.
pub(super) fn of_part(part: &Part) -> Option<Ttl> {
    let explicit = part
        .prompt_cache_breakpoint
        .as_ref()
        .filter(|mark| mark.is_object() && mark.get("mode").is_none_or(|mode| mode == "explicit"))
        .map(of_mark);
    explicit.max(of_control(part.cache_control.as_ref()))
}

/// The client's mark on a whole message.
pub(super) fn of_message(message: &openai::Message) -> Option<Ttl> {
    of_control(message.cache_control.as_ref())
}

fn of_tool(tool: &openai::Tool) -> Option<Ttl> {
    let inside = tool.function.as_ref().and_then(|function| function.cache_control.as_ref());
    of_control(tool.cache_control.as_ref()).max(of_control(inside))
}

fn of_control(mark: Option<&Value>) -> Option<Ttl> {
    mark.filter(|mark| mark.is_object()).map(of_mark)
}

fn of_mark(mark: &Value) -> Ttl {
    mark.get("ttl").and_then(Value::as_str).map_or(Ttl::FiveMinutes, ttl)
}

/// The lifetime that the client wants for the whole prompt.
fn wanted_ttl(request: &openai::Request, notes: &mut Notes) -> Ttl {
    let options = request.prompt_cache_options.as_ref();
    for (field, requested) in [
        ("prompt_cache_options.ttl", options.and_then(|options| options.get("ttl"))),
        ("prompt_cache_retention", request.prompt_cache_retention.as_ref()),
    ] {
        let requested = requested.and_then(Value::as_str).unwrap_or_default();
        if ttl(requested) == Ttl::OneHour {
            if !matches!(requested, "1h" | "60m") {
                notes
                    .add(field, "is taken as one hour, because Anthropic knows 5 minutes and that");
            }
            return Ttl::OneHour;
        }
    }
    Ttl::FiveMinutes
}

/// Anthropic's time for one such as `30m` or `12h`: more than five minutes are an hour.
fn ttl(requested: &str) -> Ttl {
    let seconds = requested
        .char_indices()
        .last()
        .and_then(|(at, unit)| Some((requested[..at].parse::<u64>().ok()?, unit)))
        .and_then(|(count, unit)| match unit {
            's' => Some(count),
            'm' => Some(count.saturating_mul(60)),
            'h' => Some(count.saturating_mul(3600)),
            'd' => Some(count.saturating_mul(86_400)),
            _ => None,
        });
    if seconds.is_some_and(|seconds| seconds > 300) { Ttl::OneHour } else { Ttl::FiveMinutes }
}

/// Appends a client's mark after its blocks, so that it moves with them.
pub(super) fn mark(
    role: openai::Role,
    ttl: Option<Ttl>,
    path: &dyn Fn(&str) -> String,
    blocks: &mut Vec<ContentBlock>,
    notes: &mut Notes,
) {
    let Some(ttl) = ttl else { return };
    // The result of a call is a block even where it says nothing.
    if blocks.is_empty() && role != openai::Role::Tool {
        notes.once(|| path(""), "a mark for prompt caching that stands on nothing is left out");
    } else {
        blocks.push(ContentBlock::CacheMark(ttl));
    }
}

/// Removes the client's marks from instructions and messages, and returns them as breakpoints.
pub(super) fn take_marks(
    system: &mut Vec<ContentBlock>,
    messages: &mut [RequestMessage],
    notes: &mut Notes,
) -> Vec<Breakpoint> {
    let mut marks = Vec::new();
    take(
        system,
        &mut |block, ttl| marks.push(Breakpoint { at: BlockPosition::System(block), ttl }),
        notes,
    );
    for (message, RequestMessage { content, .. }) in messages.iter_mut().enumerate() {
        let mut found = |block, ttl| {
            marks.push(Breakpoint { at: BlockPosition::Message { message, block }, ttl });
        };
        take(content, &mut found, notes);
    }
    marks
}

fn take(content: &mut Vec<ContentBlock>, found: &mut dyn FnMut(usize, Ttl), notes: &mut Notes) {
    let marked = |block: &ContentBlock| match block {
        ContentBlock::CacheMark(_) => true,
        ContentBlock::ToolResult { content, .. } => {
            content.iter().any(|block| matches!(block, ContentBlock::CacheMark(_)))
        }
        _ => false,
    };
    if !content.iter().any(marked) {
        return;
    }
    let mut kept: Vec<ContentBlock> = Vec::with_capacity(content.len());
    let mut at_blocks: Vec<(usize, Ttl)> = Vec::new();
    for mut block in std::mem::take(content) {
        let ttl = match &mut block {
            ContentBlock::CacheMark(ttl) => Some(*ttl),
            // What is marked inside a result is cached with the whole of it.
            ContentBlock::ToolResult { content, .. } => {
                let mut longest = None;
                content.retain(|inside| match inside {
                    ContentBlock::CacheMark(ttl) => {
                        longest = longest.max(Some(*ttl));
                        false
                    }
                    _ => true,
                });
                longest
            }
            _ => None,
        };
        if !matches!(block, ContentBlock::CacheMark(_)) {
            kept.push(block);
        }
        let Some(ttl) = ttl else { continue };
        match (kept.iter().rposition(is_cacheable), at_blocks.last_mut()) {
            (None, _) => notes.once(
                || "messages".to_owned(),
                "a mark for prompt caching on thinking alone is left out",
            ),
            (Some(at), Some((last, longest))) if at == *last => *longest = ttl.max(*longest),
            (Some(at), _) => at_blocks.push((at, ttl)),
        }
    }
    *content = kept;
    for (at, ttl) in at_blocks {
        found(at, ttl);
    }
}

/// The client's marks within Anthropic's limits: at most four, those of an hour before those of five minutes.
fn in_bounds(mut marks: Vec<Breakpoint>, notes: &mut Notes) -> Vec<Breakpoint> {
    if marks.len() > MOST {
        let what = "Anthropic takes four marks for prompt caching: the last ones of tools and \
                    instructions and the last ones of the messages are kept";
        notes.add("messages", what);
        let (of_messages, mut of_frame): (Vec<_>, Vec<_>) = marks.into_iter().partition(is_message);
        let room = MOST_OF_FRAME.max(MOST.saturating_sub(of_messages.len()));
        // The last one of tools and the last one of instructions first: each caches all that is before it.
        of_frame.reverse();
        let last_tool = of_frame.iter().find(|mark| is_tool(mark)).map(|mark| mark.at);
        let last = of_frame.first().map(|mark| mark.at);
        of_frame.sort_by_key(|mark| Some(mark.at) != last && Some(mark.at) != last_tool);
        of_frame.truncate(room);
        of_frame.sort_by_key(|mark| mark.at);
        let most = MOST - of_frame.len();
        marks = of_frame;
        marks.extend(&of_messages[of_messages.len().saturating_sub(most)..]);
    }
    let mut longest = Ttl::FiveMinutes;
    for mark in marks.iter_mut().rev() {
        if mark.ttl < longest {
            mark.ttl = longest;
            notes.once(
                || "messages".to_owned(),
                "marks for prompt caching before one of an hour are of an hour too",
            );
        }
        longest = mark.ttl;
    }
    marks
}

const fn is_tool(mark: &Breakpoint) -> bool {
    matches!(mark.at, BlockPosition::Tool(_))
}

const fn is_message(mark: &Breakpoint) -> bool {
    matches!(mark.at, BlockPosition::Message { .. })
}
