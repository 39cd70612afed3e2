//! One call of a session: what was asked, what was answered, and where it branches off.

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
    store::{self, CallLine, Reader, SessionRow},
};

/// Background calls are shown in a line of so many characters.
const LONGEST_ASIDE: usize = 88;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Counted from one.
    pub number: usize,
    /// When it came in, UTC.
    pub at: String,
    /// The client's word for a background call; `None`: a person asked.
    pub task: Option<String>,
    /// Where it branches off from what was asked before.
    pub branch: Option<Branch>,
    /// What was asked; `None` where it was not kept, or is no text.
    pub question: Option<String>,
    /// What was thought before the answer.
    pub thinking: Option<String>,
    /// The answer's text; `None` where there is none.
    pub answer: Option<String>,
    /// The tools that it calls, as `name(arguments)`.
    pub tools: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// How it was answered.
    pub answered_by: AnsweredBy,
    /// The model.
    pub model: String,
    /// What the call cost.
    pub cost: Cost,
    /// What answered it.
    pub exchange: Option<ExchangeId>,
}

/// How a turn departs from one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Branch {
    /// The same was asked again.
    Again(usize),
    /// Another question was put in the place of that one.
    Edited(usize),
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) tools: Vec<String>,
}

pub(super) async fn turns(ledger: &Reader, row: &SessionRow) -> Result<Vec<Turn>, store::Error> {
    let mut turns = Vec::new();
    let mut branches = Branches::default();
    for (number, call) in (1..).zip(&row.calls) {
        let line = match call.asked {
            Some((_, Some(head))) if call.task.is_none() => ledger.line(head).await?,
            _ => Vec::new(),
        };
        let said = answer(ledger, call).await?.unwrap_or_default();
        let some = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        turns.push(Turn {
            number,
            at: when(call.at),
            task: call.task.clone(),
            branch: branches.of(number, &line),
            question: question(ledger, call).await?,
            thinking: some(said.thinking),
            answer: some(said.text),
            tools: said.tools,
            outcome: call.outcome,
            answered_by: call.answered_by,
            model: call.model.clone(),
            cost: call.cost,
            exchange: call.exchange,
        });
    }
    Ok(turns)
}

/// Which turn asked which messages.
#[derive(Debug, Default)]
struct Branches {
    by_head: HashMap<Hash, usize>,
    /// By the message before, and how many there were.
    by_parent: HashMap<(Option<Hash>, usize), usize>,
}

impl Branches {
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

/// What a call asks, if it was kept and is text.
pub(super) async fn question(
    ledger: &Reader,
    call: &CallLine,
) -> Result<Option<String>, store::Error> {
    let Some((frame, head)) = call.asked else { return Ok(None) };
    match ledger.load_chain(frame, head).await {
        Ok(chain) => Ok(cassette::body(&chain).and_then(|body| cassette::question(&body))),
        Err(store::Error::NoBodies { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What answered a call, with what was said before in the same answer.
pub(super) async fn answer(ledger: &Reader, call: &CallLine) -> Result<Option<Said>, store::Error> {
    let mut parts = Vec::new();
    let mut next = call.exchange;
    while let Some(id) = next.filter(|_| parts.len() < store::MOST_PARTS) {
        let Some(row) = ledger.exchange(id).await? else { break };
        next = row.continues;
        parts.extend(row.recording);
    }
    let mut said = Said::default();
    for recording in parts.iter().rev() {
        // An answer that broke off is told as far as it is known to be one.
        let Ok(message) = anthropic::fold(recording) else { continue };
        message.content.iter().for_each(|block| said.add(block));
    }
    Ok((!parts.is_empty()).then_some(said))
}

impl Said {
    fn add(&mut self, block: &anthropic::Block) {
        match &block.kind {
            BlockKind::Text { text, .. } => self.text += &text.decode().unwrap_or_default(),
            BlockKind::Thinking { thinking, .. } => {
                self.thinking += &thinking.decode().unwrap_or_default();
            }
            BlockKind::ToolUse { name, arguments, .. } => {
                self.tools.push(format!("{name}({})", arguments.decode().unwrap_or_default()));
            }
            BlockKind::RedactedThinking { .. } | BlockKind::Other { .. } => {}
        }
    }
}

impl Turn {
    /// How it was answered and what it cost, in a line.
    pub(super) fn bill(&self) -> String {
        let cost = self.cost;
        let ended = match self.outcome {
            Outcome::Complete => String::new(),
            outcome => format!(" · {outcome}"),
        };
        format!("{} · {}{ended} · {cost}", self.model, self.answered_by)
    }

    /// Where it branches off, in words.
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
            let said = shortened(self.answer.as_deref().unwrap_or("(nothing)"), LONGEST_ASIDE);
            return write!(f, "{:>3}  {task} · {}\n     {said}", self.number, self.bill());
        }
        writeln!(f, "{:>3}  {}{branch}", self.number, self.bill())?;
        let mut said =
            vec![format!("> {}", self.question.as_deref().unwrap_or("(not kept, or no text)"))];
        said.extend(self.answer.clone());
        said.extend(self.tools.iter().map(|tool| format!("calls {tool}")));
        let lines: Vec<String> =
            said.iter().flat_map(|text| text.lines()).map(|line| format!("     {line}")).collect();
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        write!(f, "{}", lines.join("\n"))
    }
}
