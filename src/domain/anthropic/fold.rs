//! A stream folded into the message that it tells, with every block as it would come from an API that does not stream.

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

use super::event::{
    BlockStart, Citation, Delta, Event, MessageDelta, MessageStart, Stop, StreamError, parse, read,
    whole_input,
};
use super::{order::EventOrder, usage::Usage};
use crate::domain::{
    exchange::Tokens,
    json::{JsonString, Object, Raw, without_lone_surrogates},
    recording::Recording,
};

/// A complete answer.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The model that answered; after a fallback, the other one.
    pub model: String,
    /// In order, those of unknown kinds too.
    pub content: Vec<Block>,
    /// The reason why the answer ended.
    pub stop: Stop,
    /// Usage since the last pause.
    pub usage: Usage,
    /// Tokens before the last pause.
    pub earlier: Tokens,
}

/// A content block, whole. As JSON it is Anthropic's, with all the fields that it came with.
#[derive(Debug, Clone)]
pub struct Block {
    /// The fields that are read.
    pub kind: BlockKind,
    /// As it began.
    start: Raw,
    /// Text of deltas of unknown kinds, by field.
    added: Vec<(String, JsonString)>,
}

/// The fields of a content block that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockKind {
    /// Text for the reader.
    Text {
        /// The text.
        text: JsonString,
        /// Citations.
        citations: Citations,
    },
    /// Thinking, or a summary of it.
    Thinking {
        /// The text.
        thinking: JsonString,
        /// Anthropic's proof that it is theirs.
        signature: JsonString,
    },
    /// Thinking that nobody may see.
    RedactedThinking {
        /// Encrypted.
        data: String,
    },
    /// A call of one of the client's tools.
    ToolUse {
        /// `toolu_…`.
        id: String,
        /// The tool.
        name: String,
        /// JSON in a string; `{}` when the model gave none. Can be cut short by `max_tokens`.
        arguments: JsonString,
    },
    /// The boundary between the output of a model that declined and that of another.
    Fallback,
    /// Anything else: a tool that Anthropic runs, its results, kinds of a later version.
    Other {
        /// Input that came in deltas.
        input: JsonString,
    },
}

/// Citations of a text.
#[derive(Debug, Clone, Default)]
pub struct Citations(Vec<Raw>);

impl Citations {
    /// True if there are no citations.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The citations that can be read.
    pub fn iter(&self) -> impl Iterator<Item = Citation> {
        self.0.iter().filter_map(|raw| Citation::parse(raw.value()))
    }
}

impl PartialEq for Citations {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Citations {}

/// Folds a recording. An answer that paused and was continued reads as one.
pub fn fold(recording: &Recording) -> Result<Message, StreamError> {
    let mut folding = Folding::default();
    let mut order = EventOrder::default();
    for event in recording.events() {
        let event = read(event);
        order.put(parse(&event)?, &mut |event| folding.take(event))?;
    }
    let Folding { message, mut blocks, ended } = folding;
    let mut message = message.filter(|_| ended).ok_or(StreamError::Cut)?;
    message.content.extend(blocks.drain(..).map(|(_, block)| block.end()));
    Ok(message)
}

/// Folds as much of a message as came, also of one that was cut or ended with an error; `None`: it did not begin.
pub fn fold_begun(recording: &Recording) -> Option<Message> {
    let mut folding = Folding::default();
    let mut order = EventOrder::default();
    for event in recording.events() {
        let event = read(event);
        let Ok(event) = parse(&event) else { break };
        if order.put(event, &mut |event| folding.take(event)).is_err() {
            break;
        }
    }
    let Folding { message, blocks, .. } = folding;
    let mut message = message?;
    message.content.extend(blocks.into_iter().map(|(_, block)| block.end()));
    Some(message)
}

/// A message that is being folded.
#[derive(Default)]
struct Folding {
    message: Option<Message>,
    /// The blocks since the last pause, in the order of their numbers.
    blocks: Vec<(usize, Block)>,
    ended: bool,
}

impl Folding {
    fn take(&mut self, event: Event<'_>) -> Result<(), StreamError> {
        let Self { message, blocks, ended } = self;
        let serving = event.serving_model().map(str::to_owned);
        match (&mut *message, event) {
            (_, Event::Ping | Event::Unknown) => {}
            (_, Event::Error(error)) => return Err(StreamError::Upstream(Box::new(error))),
            (None, Event::MessageStart(start)) => *message = Some(Message::begin(&start)?),
            (Some(message), Event::MessageStart(start)) if *ended && message.stop.is_pause() => {
                message.content.extend(blocks.drain(..).map(|(_, block)| block.end()));
                message.go_on(Message::begin(&start)?);
                *ended = false;
            }
            (None, _) | (_, Event::MessageStart(_)) => return Err(StreamError::OutOfOrder),
            (Some(_), _) if *ended => return Err(StreamError::OutOfOrder),
            (_, Event::BlockStart { index, block, raw }) => {
                blocks.push((index, Block::begin(block, raw)));
            }
            (_, Event::BlockDelta { index, delta }) => {
                if let Ok(at) = blocks.binary_search_by_key(&index, |(number, _)| *number) {
                    blocks[at].1.push(delta);
                }
            }
            (Some(message), Event::MessageDelta(MessageDelta { delta, usage })) => {
                message.stop.update(delta);
                message.usage.update(usage);
            }
            (_, Event::MessageStop) => *ended = true,
            (_, Event::BlockStop { .. }) => {}
        }
        if let (Some(message), Some(serving)) = (message, serving) {
            message.model = serving;
        }
        Ok(())
    }
}

impl Message {
    fn begin(start: &MessageStart<'_>) -> Result<Self, StreamError> {
        let content = start
            .blocks()
            .map(|block| block.map(|(block, raw)| Block::begin(block, raw).end()))
            .collect::<Result<_, _>>()?;
        let stop = Stop { stop_reason: start.stop_reason.clone(), stop_details: None };
        let (model, usage) = (start.model.clone(), start.usage.clone());
        Ok(Self { model, content, stop, usage, earlier: Tokens::default() })
    }

    fn go_on(&mut self, more: Self) {
        self.earlier += self.usage.tokens();
        self.content.extend(more.content);
        self.stop = more.stop;
        self.usage = more.usage;
    }

    /// All that it used.
    pub fn tokens(&self) -> Tokens {
        let mut tokens = self.earlier;
        tokens += self.usage.tokens();
        tokens
    }
}

impl Block {
    fn begin(start: BlockStart, raw: &RawValue) -> Self {
        let kind = match start {
            BlockStart::Text { text, citations: _ } => {
                BlockKind::Text { text: JsonString::new(&text), citations: citations(raw) }
            }
            BlockStart::Thinking { thinking, signature } => BlockKind::Thinking {
                thinking: JsonString::new(&thinking),
                signature: JsonString::new(&signature),
            },
            BlockStart::RedactedThinking { data } => BlockKind::RedactedThinking { data },
            BlockStart::ToolUse { id, name } => {
                let given = whole_input(raw).map(|input| JsonString::new(input.get()));
                BlockKind::ToolUse { id, name, arguments: given.unwrap_or_default() }
            }
            BlockStart::Fallback { .. } => BlockKind::Fallback,
            BlockStart::ServerToolUse | BlockStart::Unknown => {
                BlockKind::Other { input: JsonString::default() }
            }
        };
        Self { kind, start: Raw::new(raw), added: Vec::new() }
    }

    fn push(&mut self, delta: Delta<'_>) {
        match (&mut self.kind, delta) {
            (BlockKind::Text { text, .. }, Delta::Text(more)) => text.push(more),
            (BlockKind::Text { citations, .. }, Delta::Citation(more)) => {
                citations.0.push(mended(more));
            }
            (BlockKind::Thinking { thinking, .. }, Delta::Thinking(more)) => thinking.push(more),
            (BlockKind::Thinking { signature, .. }, Delta::Signature(more)) => signature.push(more),
            (
                BlockKind::ToolUse { arguments: input, .. } | BlockKind::Other { input },
                Delta::Json(more),
            ) => {
                input.push(more);
            }
            (_, Delta::Unknown(delta)) => self.add(delta),
            _ => {}
        }
    }

    /// Adds a delta of an unknown kind, as all known ones are added: a string continues the
    /// field of its name.
    fn add(&mut self, delta: &RawValue) {
        let fields = Object::parse(delta.get()).unwrap_or_default();
        let strings = fields.iter().filter(|(_, value)| value.get().starts_with('"'));
        for (name, more) in strings.filter(|(name, _)| *name != "type") {
            if let Some((_, text)) = self.added.iter_mut().find(|(field, _)| field == name) {
                text.push(more);
            } else {
                let mut text = JsonString::default();
                text.push(more);
                self.added.push((name.to_owned(), text));
            }
        }
    }

    /// The block as it ended. A pair of surrogates that is spread over two deltas is whole only here.
    fn end(mut self) -> Self {
        match &mut self.kind {
            BlockKind::Text { text, .. } => text.mend(),
            BlockKind::Thinking { thinking, signature } => {
                thinking.mend();
                signature.mend();
            }
            BlockKind::ToolUse { arguments, .. } if arguments.is_empty() => {
                *arguments = JsonString::new("{}");
            }
            BlockKind::ToolUse { arguments: input, .. } | BlockKind::Other { input } => {
                input.mend();
            }
            BlockKind::RedactedThinking { .. } | BlockKind::Fallback => {}
        }
        self.added.iter_mut().for_each(|(_, text)| text.mend());
        self
    }
}

/// A value of a delta, in which [`read`] leaves halves of surrogate pairs, without lone ones.
fn mended(value: &RawValue) -> Raw {
    let mended = without_lone_surrogates(value.get().as_bytes()).map(String::from_utf8);
    let mended = mended.and_then(|mended| Raw::parse(&mended.ok()?).ok());
    mended.unwrap_or_else(|| Raw::new(value))
}

fn citations(block: &RawValue) -> Citations {
    #[derive(serde::Deserialize)]
    struct Cited<'a> {
        #[serde(borrow)]
        citations: Option<Vec<&'a RawValue>>,
    }
    let cited = serde_json::from_str::<Cited<'_>>(block.get()).ok().and_then(|it| it.citations);
    Citations(cited.unwrap_or_default().into_iter().map(Raw::new).collect())
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut block = Object::parse(self.start.get()).map_err(S::Error::custom)?;
        for (name, added) in &self.added {
            let mut text = JsonString::default();
            if let Some(before) = block.get(name).filter(|value| value.get().starts_with('"')) {
                text.push(before);
            }
            text.push_string(added);
            block.set(name, Raw::of(&text));
        }
        match &self.kind {
            BlockKind::Text { text, citations } => {
                block.set("text", Raw::of(text));
                if !citations.0.is_empty() {
                    block.set("citations", Raw::of(&citations.0));
                }
            }
            BlockKind::Thinking { thinking, signature } => {
                block.set("thinking", Raw::of(thinking));
                block.set("signature", Raw::of(signature));
            }
            BlockKind::RedactedThinking { .. } | BlockKind::Fallback => {}
            BlockKind::ToolUse { arguments: input, .. } | BlockKind::Other { input } => {
                // One that was cut short is no object, and Anthropic takes nothing else.
                if let Some(input) = Raw::object(&input.decode()) {
                    block.set("input", input);
                }
            }
        }
        block.serialize(serializer)
    }
}
