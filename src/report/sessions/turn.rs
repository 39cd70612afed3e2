//! One call of a session: what it asked anew, the answer, and the branch it starts.

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    domain::{
        anthropic::{self, BlockKind},
        cassette::{self, Asked},
        chain::Hash,
        exchange::{AnsweredBy, ExchangeId, Outcome},
    },
    report::{Money, moment::rfc3339},
    store::{self, CallSummary, ExchangeRow, Reader, SessionRow},
};

/// One call of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// One-based position in the session.
    pub number: usize,
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
    is_kept: bool,
    error: Option<String>,
}

pub(super) async fn turns(ledger: &Reader, row: &SessionRow) -> Result<Vec<Turn>, store::Error> {
    let mut turns = Vec::new();
    let mut branches = BranchTracker::default();
    let mut answers: HashMap<ExchangeId, usize> = HashMap::new();
    for (number, call) in (1..).zip(&row.calls) {
        let line = match call.request() {
            Some((_, Some(head))) if call.task.is_none() => ledger.ancestry(head).await?,
            _ => Vec::new(),
        };
        let asked = asked(ledger, call).await?;
        let request_is_kept = asked.is_some();
        let Asked { texts, media, results } = asked.unwrap_or_default();
        let content = answer(ledger, call).await?;
        let some = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let result = |it: cassette::ToolResult| ToolResult { tool: it.tool, content: it.content };
        let first = call.exchange.map(|exchange| *answers.entry(exchange).or_insert(number));
        turns.push(Turn {
            number,
            at: rfc3339(call.at),
            task: call.task.clone(),
            branch: branches.of(number, &line),
            question: some(texts.join("\n")),
            media,
            results: results.into_iter().map(result).collect(),
            request_is_kept,
            thinking: some(content.thinking),
            answer: some(content.text),
            tools: content.tools,
            answer_is_kept: content.is_kept,
            error: content.error,
            same_answer_as: first.filter(|first| *first != number),
            outcome: call.outcome,
            answered_by: call.answered_by,
            model: call.model.clone(),
            cost: call.cost.into(),
            exchange: call.exchange,
        });
    }
    Ok(turns)
}

/// The turns seen so far, by their messages.
#[derive(Debug, Default)]
struct BranchTracker {
    by_head: HashMap<Hash, usize>,
    /// By the previous message and the number of messages.
    by_parent: HashMap<(Option<Hash>, usize), usize>,
}

impl BranchTracker {
    fn of(&mut self, number: usize, line: &[Hash]) -> Option<Branch> {
        let (head, before) = line.split_last()?;
        let place = (before.last().copied(), line.len());
        let branch = match (self.by_head.get(head), self.by_parent.get(&place)) {
            (Some(first), _) => Some(Branch::Again(*first)),
            (None, Some(first)) => Some(Branch::Edited(*first)),
            (None, None) => None,
        };
        self.by_head.entry(*head).or_insert(number);
        self.by_parent.entry(place).or_insert(number);
        branch
    }
}

/// The new messages of a call, as the client sent them, else as upstream got them; `None`: neither is kept.
pub(super) async fn asked(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<Option<Asked>, store::Error> {
    if let Some(asked) = new_messages(ledger, call.request()).await? {
        return Ok(Some(asked));
    }
    let Some(id) = call.exchange else { return Ok(None) };
    let parts = ledger.answer_parts(id).await?;
    new_messages(ledger, parts.first().and_then(ExchangeRow::request)).await
}

async fn new_messages(
    ledger: &Reader,
    request: Option<(Hash, Option<Hash>)>,
) -> Result<Option<Asked>, store::Error> {
    let Some((_, head)) = request else { return Ok(None) };
    let Some(head) = head else { return Ok(Some(Asked::default())) };
    let messages = ledger.newest_messages(head).await?;
    Ok(messages.and_then(|messages| Asked::of_messages(&messages)))
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
