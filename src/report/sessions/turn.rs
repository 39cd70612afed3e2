//! One call of a session: what it asked anew, the answer, and the branch it starts.

use std::{collections::HashMap, iter};

use serde::Serialize;
use serde_json::Value;

use super::attachment::AttachmentReport;
use crate::{
    domain::{
        anthropic::{self, BlockKind},
        cassette::{self, Asked, Attachment},
        chain::Hash,
        exchange::{AnsweredBy, CallId, ExchangeId, Outcome, Tokens},
    },
    report::{
        Money,
        calls::{json, millis, why},
        moment::rfc3339,
    },
    store::{self, CallSummary, ExchangeRow, Reader, SessionRow},
};

/// One call of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// One-based position in the session.
    pub number: usize,
    /// The call, by which its requests are read ([`crate::report::CallDetails`]).
    pub call: CallId,
    /// The turn whose answer it follows, so that the turns form a tree; `None`: it begins a conversation, or is a task.
    pub parent: Option<usize>,
    /// The time of the request, in RFC 3339.
    pub at: String,
    /// The client's name of a background task; `None`: a chat request.
    pub task: Option<String>,
    /// The branch that it starts.
    pub branch: Option<Branch>,
    /// The user message; `None`: the request has none that is new, it is not text, or it is not kept.
    pub question: Option<String>,
    /// The kinds of content of the message that are no text, such as `image`.
    pub media: Vec<String>,
    /// The pictures and documents that are new in the request, those in results of tools included.
    pub attachments: Vec<AttachmentReport>,
    /// The results of tools that the answer before called.
    pub results: Vec<ToolResult>,
    /// True if the request is kept.
    pub request_is_kept: bool,
    /// The thinking.
    pub thinking: Option<String>,
    /// The text of the answer; `None`: no text.
    pub answer: Option<String>,
    /// The tool calls, as `name(arguments)`.
    pub tools: Vec<String>,
    /// The blocks of the answer, in their order.
    pub blocks: Vec<AnswerBlock>,
    /// True if the answer is kept.
    pub answer_is_kept: bool,
    /// The error, for people.
    pub error: Option<String>,
    /// The earlier turn that has the same answer.
    pub same_answer_as: Option<usize>,
    /// The outcome.
    pub outcome: Outcome,
    /// The source of the answer.
    pub answered_by: AnsweredBy,
    /// The model.
    pub model: String,
    /// The reason why it went upstream, in words; `None`: it did not, or nobody wrote it down.
    pub why: Option<&'static str>,
    /// The parts of the request that the translation dropped or changed.
    pub notes: Value,
    /// Milliseconds until the first byte of the answer.
    pub ttft_ms: Option<f64>,
    /// Milliseconds until its end.
    pub total_ms: Option<f64>,
    /// The tokens of the answer.
    pub tokens: Tokens,
    /// The cost of the call.
    pub cost: Money,
    /// The exchange with the answer.
    pub exchange: Option<ExchangeId>,
}

/// The result of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolResult {
    /// The tool; `None`: unknown.
    pub tool: Option<String>,
    /// The text of the result.
    pub content: String,
}

/// A block of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// Thinking, or a summary of it.
    Thinking {
        /// The text.
        text: String,
    },
    /// Thinking that nobody may see.
    RedactedThinking,
    /// A call of one of the client's tools.
    ToolCall {
        /// The id by which its result is told.
        id: String,
        /// The tool.
        name: String,
        /// The arguments as JSON; cut short where the answer was.
        input: String,
    },
    /// Any other block, such as a search of the web and its results.
    Other {
        /// The block as Anthropic has it.
        block: Value,
    },
}

/// The relation of a turn to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// The same request as that turn.
    Again(usize),
    /// Another message in the place of that turn's.
    Edited(usize),
}

/// The content of an answer.
#[derive(Debug, Default)]
pub(super) struct AnswerContent {
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) tools: Vec<String>,
    blocks: Vec<AnswerBlock>,
    is_kept: bool,
    error: Option<String>,
}

pub(super) async fn turns(ledger: &Reader, row: &SessionRow) -> Result<Vec<Turn>, store::Error> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut branches = BranchTracker::default();
    let mut answers: HashMap<ExchangeId, usize> = HashMap::new();
    let heads: Vec<Hash> = row.calls.iter().filter_map(head).collect();
    let parents = ledger.parents_of(&heads).await?;
    for (number, call) in (1..).zip(&row.calls) {
        let line = head(call).map(|head| line(head, &parents)).unwrap_or_default();
        let messages = messages(ledger, call).await?;
        let asked = messages.as_ref().and_then(|messages| Asked::of_messages(messages));
        let request_is_kept = asked.is_some();
        let Asked { texts, media, results, after } = asked.unwrap_or_default();
        let attachments = messages.as_ref().map(|messages| Attachment::of_messages(messages));
        let content = answer(ledger, call).await?;
        let some = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let result = |it: cassette::ToolResult| ToolResult { tool: it.tool, content: it.content };
        let first = call.exchange.map(|exchange| *answers.entry(exchange).or_insert(number));
        turns.push(Turn {
            number,
            call: call.id,
            parent: branches.parent(&line, after.as_deref(), &turns),
            at: rfc3339(call.at),
            task: call.task.clone(),
            branch: branches.of(number, &line),
            question: some(texts.join("\n")),
            media,
            attachments: attachments.iter().flatten().map(AttachmentReport::of).collect(),
            results: results.into_iter().map(result).collect(),
            request_is_kept,
            thinking: some(content.thinking),
            answer: some(content.text),
            tools: content.tools,
            blocks: content.blocks,
            answer_is_kept: content.is_kept,
            error: content.error,
            same_answer_as: first.filter(|first| *first != number),
            outcome: call.outcome,
            answered_by: call.answered_by,
            model: call.model.clone(),
            why: call.reason.as_deref().and_then(why::in_words),
            notes: call.notes.as_deref().map_or(Value::Array(Vec::new()), json),
            ttft_ms: call.ttft_us.map(millis),
            total_ms: call.total_us.map(millis),
            tokens: call.tokens,
            cost: call.cost.into(),
            exchange: call.exchange,
        });
    }
    Ok(turns)
}

/// The newest message of a request that is part of the conversation.
fn head(call: &CallSummary) -> Option<Hash> {
    call.request().filter(|_| call.task.is_none()).and_then(|(_, head)| head)
}

/// The messages up to `head`, oldest first.
fn line(head: Hash, parents: &HashMap<Hash, Hash>) -> Vec<Hash> {
    let mut line: Vec<Hash> =
        iter::successors(Some(head), |message| parents.get(message).copied()).collect();
    line.reverse();
    line
}

/// The turns seen so far, by their messages.
#[derive(Debug, Default)]
struct BranchTracker {
    by_head: HashMap<Hash, Vec<usize>>,
    /// By the previous message and the number of messages.
    by_parent: HashMap<(Option<Hash>, usize), usize>,
}

impl BranchTracker {
    /// The turn whose answer these messages follow. Of several that asked for the same, it is the newest whose answer is the
    /// text `after` which they come, else the newest.
    fn parent(&self, line: &[Hash], after: Option<&str>, turns: &[Turn]) -> Option<usize> {
        let (_, before) = line.split_last()?;
        let asked = before.iter().rev().find_map(|message| self.by_head.get(message))?;
        let said = |number: &&usize| {
            let answer = turns.get(**number - 1).and_then(|turn| turn.answer.as_deref());
            answer.zip(after).is_some_and(|(answer, after)| after.contains(answer.trim()))
        };
        asked.iter().rev().find(said).or(asked.last()).copied()
    }

    fn of(&mut self, number: usize, line: &[Hash]) -> Option<Branch> {
        let (head, before) = line.split_last()?;
        let place = (before.last().copied(), line.len());
        let first = self.by_head.get(head).and_then(|turns| turns.first());
        let branch = match (first, self.by_parent.get(&place)) {
            (Some(first), _) => Some(Branch::Again(*first)),
            (None, Some(first)) => Some(Branch::Edited(*first)),
            (None, None) => None,
        };
        self.by_head.entry(*head).or_default().push(number);
        self.by_parent.entry(place).or_insert(number);
        branch
    }
}

/// The new messages of a call, as the client sent them, else as upstream got them; `None`: neither is kept.
pub(super) async fn asked(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<Option<Asked>, store::Error> {
    Ok(messages(ledger, call).await?.and_then(|messages| Asked::of_messages(&messages)))
}

/// The same messages with the answer before them, each as JSON.
async fn messages(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<Option<Vec<Vec<u8>>>, store::Error> {
    if let Some(messages) = newest(ledger, call.request()).await? {
        return Ok(Some(messages));
    }
    let Some(id) = call.exchange else { return Ok(None) };
    let parts = ledger.answer_parts(id).await?;
    newest(ledger, parts.first().and_then(ExchangeRow::request)).await
}

async fn newest(
    ledger: &Reader,
    request: Option<(Hash, Option<Hash>)>,
) -> Result<Option<Vec<Vec<u8>>>, store::Error> {
    match request {
        Some((_, Some(head))) => ledger.newest_messages(head).await,
        Some((_, None)) => Ok(Some(Vec::new())),
        None => Ok(None),
    }
}

/// A picture or document that a call brought, by the name of its content in a [`Turn`]. `None`: it is not kept any more,
/// or the call has none of that name.
pub async fn attachment(
    ledger: &Reader,
    call: CallId,
    hash: &str,
) -> Result<Option<Attachment>, store::Error> {
    let Some(row) = ledger.call(call).await? else { return Ok(None) };
    let mut messages = newest(ledger, row.request()).await?;
    if let (None, Some(exchange)) = (&messages, row.exchange) {
        let parts = ledger.answer_parts(exchange).await?;
        messages = newest(ledger, parts.first().and_then(ExchangeRow::request)).await?;
    }
    let attachments = messages.map(|messages| Attachment::of_messages(&messages));
    let is_named = |it: &Attachment| it.hash().is_some_and(|own| own.to_string() == hash);
    Ok(attachments.into_iter().flatten().find(is_named))
}

/// The content of the answer to a call, earlier parts of the same answer included.
pub(super) async fn answer(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<AnswerContent, store::Error> {
    let mut parts = match call.exchange {
        Some(id) => ledger.answer_parts(id).await?,
        None => Vec::new(),
    };
    let error = parts.last_mut().and_then(|last| last.error.take());
    let error = error.or_else(|| call.error_kind.clone());
    let mut content = AnswerContent { error, ..AnswerContent::default() };
    for recording in parts.into_iter().filter_map(|part| part.recording) {
        content.is_kept = true;
        let message = anthropic::fold_begun(&recording);
        message.iter().flat_map(|message| &message.content).for_each(|block| content.add(block));
    }
    Ok(content)
}

impl AnswerContent {
    fn add(&mut self, block: &anthropic::Block) {
        self.blocks.push(AnswerBlock::of(block));
        match &block.kind {
            BlockKind::Text { text, .. } => self.text += &text.decode(),
            BlockKind::Thinking { thinking, .. } => {
                self.thinking += &thinking.decode();
            }
            BlockKind::ToolUse { name, arguments, .. } => {
                self.tools.push(format!("{name}({})", arguments.decode()));
            }
            // A tool that Anthropic runs has a name, its results have none.
            BlockKind::Other { input } => {
                let json = serde_json::to_value(block).unwrap_or_default();
                if let Some(name) = json["name"].as_str() {
                    self.tools.push(format!("{name}({})", input.decode()));
                }
            }
            BlockKind::RedactedThinking { .. } | BlockKind::Fallback => {}
        }
    }
}

impl AnswerBlock {
    fn of(block: &anthropic::Block) -> Self {
        match &block.kind {
            BlockKind::Text { text, .. } => Self::Text { text: text.decode() },
            BlockKind::Thinking { thinking, .. } => Self::Thinking { text: thinking.decode() },
            BlockKind::RedactedThinking { .. } => Self::RedactedThinking,
            BlockKind::ToolUse { id, name, arguments } => {
                Self::ToolCall { id: id.clone(), name: name.clone(), input: arguments.decode() }
            }
            BlockKind::Fallback | BlockKind::Other { .. } => {
                Self::Other { block: serde_json::to_value(block).unwrap_or_default() }
            }
        }
    }
}

impl Turn {
    /// Model, source, outcome and cost in a line.
    pub(super) fn bill(&self) -> String {
        let ended = match self.outcome {
            Outcome::Complete => String::new(),
            outcome => format!(" · {outcome}"),
        };
        format!("{} · {}{ended} · {}", self.model, self.answered_by, self.cost.in_words())
    }

    /// The branch in words.
    pub(super) fn branch_in_words(&self) -> Option<String> {
        Some(match self.branch? {
            Branch::Again(first) => format!("{first} asked again"),
            Branch::Edited(first) => format!("in the place of {first}"),
        })
    }

    /// The question in words, with the content that is no text; `None`: only results are new.
    pub(super) fn question_in_words(&self) -> Option<String> {
        let media = self.media.iter().map(|kind| format!("[{kind}]"));
        let parts: Vec<String> = self.question.iter().cloned().chain(media).collect();
        match (parts.is_empty(), self.results.is_empty(), self.request_is_kept) {
            (false, ..) => Some(parts.join("\n")),
            (true, false, _) => None,
            (true, true, true) => Some("(no text)".to_owned()),
            (true, true, false) => Some("(not kept)".to_owned()),
        }
    }

    /// The reason why the answer has neither text nor tool calls, in words.
    pub(super) fn absence_in_words(&self) -> Option<String> {
        if self.answer.is_some() || !self.tools.is_empty() {
            return None;
        }
        Some(match (&self.error, self.answer_is_kept, self.outcome) {
            (Some(error), ..) => format!("({error})"),
            (None, true, _) => "(no text)".to_owned(),
            (None, false, Outcome::Complete) => "(not kept)".to_owned(),
            (None, false, _) => "(nothing came)".to_owned(),
        })
    }
}
