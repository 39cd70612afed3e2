//! One call of a session: the user message, the answer, and the branch it starts.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use super::{shortened, when};
use crate::{
    domain::{
        anthropic::{self, BlockKind},
        cassette,
        chain::Hash,
        exchange::{AnsweredBy, Cost, ExchangeId, Outcome},
    },
    store::{self, CallSummary, Reader, SessionRow},
};

/// Maximum length of the line of a background task, in characters.
const LONGEST_ASIDE: usize = 88;

/// One call of a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// One-based position in the session.
    pub number: usize,
    /// The time of the request, UTC.
    pub at: String,
    /// The client's name of a background task; `None`: a chat request.
    pub task: Option<String>,
    /// The branch that it starts.
    pub branch: Option<Branch>,
    /// The user message; `None`: not kept, or not text.
    pub question: Option<String>,
    /// The thinking.
    pub thinking: Option<String>,
    /// The text of the answer; `None`: no text.
    pub answer: Option<String>,
    /// The tool calls, as `name(arguments)`.
    pub tools: Vec<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// The source of the answer.
    pub answered_by: AnsweredBy,
    /// The model.
    pub model: String,
    /// The cost of the call.
    pub cost: Cost,
    /// The exchange with the answer.
    pub exchange: Option<ExchangeId>,
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
}

pub(super) async fn turns(ledger: &Reader, row: &SessionRow) -> Result<Vec<Turn>, store::Error> {
    let mut turns = Vec::new();
    let mut branches = BranchTracker::default();
    for (number, call) in (1..).zip(&row.calls) {
        let line = match call.request() {
            Some((_, Some(head))) if call.task.is_none() => ledger.ancestry(head).await?,
            _ => Vec::new(),
        };
        let content = answer(ledger, call).await?.unwrap_or_default();
        let some = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        turns.push(Turn {
            number,
            at: when(call.at),
            task: call.task.clone(),
            branch: branches.of(number, &line),
            question: question(ledger, call).await?,
            thinking: some(content.thinking),
            answer: some(content.text),
            tools: content.tools,
            outcome: call.outcome,
            answered_by: call.answered_by,
            model: call.model.clone(),
            cost: call.cost,
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

/// The user message of a call; `None`: not kept, or not text.
pub(super) async fn question(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<Option<String>, store::Error> {
    let Some((frame, head)) = call.request() else { return Ok(None) };
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(cassette::body(&chain).and_then(|body| cassette::last_user_text(&body))),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of the answer to a call, earlier parts of the same answer included.
pub(super) async fn answer(
    ledger: &Reader,
    call: &CallSummary,
) -> Result<Option<AnswerContent>, store::Error> {
    let parts = match call.exchange {
        Some(id) => ledger.answer_parts(id).await?,
        None => Vec::new(),
    };
    let parts: Vec<_> = parts.into_iter().filter_map(|part| part.recording).collect();
    let mut content = AnswerContent::default();
    for recording in &parts {
        // A part that cannot be read is left out.
        let Ok(message) = anthropic::fold(recording) else { continue };
        message.content.iter().for_each(|block| content.add(block));
    }
    Ok((!parts.is_empty()).then_some(content))
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
            BlockKind::RedactedThinking { .. } | BlockKind::Fallback | BlockKind::Other { .. } => {}
        }
    }
}

impl Turn {
    /// Model, source, outcome and cost in a line.
    pub(super) fn bill(&self) -> String {
        let cost = self.cost;
        let ended = match self.outcome {
            Outcome::Complete => String::new(),
            outcome => format!(" · {outcome}"),
        };
        format!("{} · {}{ended} · {cost}", self.model, self.answered_by)
    }

    /// The branch in words.
    pub(super) fn branch_in_words(&self) -> Option<String> {
        Some(match self.branch? {
            Branch::Again(first) => format!("{first} asked again"),
            Branch::Edited(first) => format!("in the place of {first}"),
        })
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branch =
            self.branch_in_words().map(|branch| format!(" ({branch})")).unwrap_or_default();
        if let Some(task) = &self.task {
            let answer = shortened(self.answer.as_deref().unwrap_or("(nothing)"), LONGEST_ASIDE);
            return write!(f, "{:>3}  {task} · {}\n     {answer}", self.number, self.bill());
        }
        writeln!(f, "{:>3}  {}{branch}", self.number, self.bill())?;
        let mut texts =
            vec![format!("> {}", self.question.as_deref().unwrap_or("(not kept, or no text)"))];
        texts.extend(self.answer.clone());
        texts.extend(self.tools.iter().map(|tool| format!("calls {tool}")));
        let lines: Vec<String> =
            texts.iter().flat_map(|text| text.lines()).map(|line| format!("     {line}")).collect();
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        write!(f, "{}", lines.join("\n"))
    }
}
