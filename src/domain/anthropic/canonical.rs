//! A request as the texts that are hashed, kept and sent.
//!
//! Each block is written once. What does not change the answer (`stream`, `metadata`, `cache_control`) is in none of
//! the texts: it is put in on the wire.

use serde::Serialize;

use super::request::{BlockPosition, Breakpoint, ContentBlock, Request, RequestMessage, Ttl};
use crate::domain::{
    chain::{Chain, Hash},
    json::canonical,
};

/// A request in a frame (all but the messages) and a chain of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalRequest {
    /// The texts as they go upstream, without the fields that do not change the answer.
    pub chain: Chain,
    /// Equal for all requests of one meaning, whatever the order of keys in schemas and arguments.
    pub digest: Hash,
    /// Blocks that get `cache_control`, in the order of the texts.
    marks: Vec<BreakpointOffset>,
    /// `metadata`, as JSON.
    metadata: Option<Vec<u8>>,
}

/// A block that ends a part of the prompt to be cached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BreakpointOffset {
    /// The position of the message; `None` for the frame.
    node: Option<usize>,
    /// The offset of the block's closing brace.
    at: usize,
    ttl: Ttl,
}

impl CanonicalRequest {
    /// Takes a request apart. Everything that can change the answer is in the texts. There is no `..` here, so that a
    /// new field does not compile until it is classified.
    pub fn of(request: &Request) -> Self {
        let Request {
            model,
            max_tokens,
            thinking,
            output_config,
            system,
            messages,
            tools,
            tool_choice,
            stop_sequences,
            temperature,
            top_p,
            top_k,
            fallbacks,
            service_tier,
            metadata,
            breakpoints,
        } = request;
        let mut marks = Vec::new();
        let mut frame = ObjectWriter(b"{".to_vec());
        frame.put("model", model);
        frame.put("max_tokens", max_tokens);
        frame.put_some("thinking", thinking.as_ref());
        frame.put_some("output_config", Some(output_config).filter(|config| !config.is_default()));
        if !system.is_empty() {
            frame.name("system");
            let ttl = |at| ttl(breakpoints, BlockPosition::System(at));
            list(system, &mut frame.0, ttl, |at, ttl| {
                marks.push(BreakpointOffset { node: None, at, ttl });
            });
        }
        if !tools.is_empty() {
            frame.name("tools");
            let ttl = |at| ttl(breakpoints, BlockPosition::Tool(at));
            list(tools, &mut frame.0, ttl, |at, ttl| {
                marks.push(BreakpointOffset { node: None, at, ttl });
            });
        }
        frame.put_some("tool_choice", tool_choice.as_ref());
        frame.put_some("stop_sequences", Some(stop_sequences).filter(|texts| !texts.is_empty()));
        frame.put_some("temperature", temperature.as_ref());
        frame.put_some("top_p", top_p.as_ref());
        frame.put_some("top_k", top_k.as_ref());
        frame.put_some("service_tier", service_tier.as_ref());
        frame.put_some("fallbacks", fallbacks.as_ref());
        let nodes: Vec<Vec<u8>> = (0..)
            .zip(messages)
            .map(|(node, RequestMessage { role, content })| {
                let mut text = ObjectWriter(b"{".to_vec());
                text.put("role", role);
                text.name("content");
                let ttl = |block| ttl(breakpoints, BlockPosition::Message { message: node, block });
                let mark = |at, ttl| marks.push(BreakpointOffset { node: Some(node), at, ttl });
                list(content, &mut text.0, ttl, mark);
                text.end()
            })
            .collect();
        let chain = Chain::new(frame.end(), nodes);
        let is_free_form =
            !tools.is_empty() || output_config.format.is_some() || fallbacks.is_some();
        let digest = digest(&chain, is_free_form, |node| {
            messages[node].content.iter().any(ContentBlock::is_free_form)
        });
        Self { chain, digest, marks, metadata: metadata.as_ref().map(json_bytes) }
    }

    /// The body of `POST /v1/messages`: the texts, streamed, with what does not change the answer.
    pub fn body(&self) -> Vec<u8> {
        let Self { chain, marks, metadata, .. } = self;
        let mut body = Vec::with_capacity(chain.bytes() + 256 + chain.nodes.len());
        let mut marks = marks.iter().peekable();
        let mut put = |node: Option<usize>, text: &[u8], body: &mut Vec<u8>| {
            let mut copied = 0;
            while let Some(mark) = marks.next_if(|mark| mark.node == node) {
                body.extend_from_slice(&text[copied..mark.at]);
                body.extend_from_slice(cache_control(mark.ttl));
                copied = mark.at;
            }
            body.extend_from_slice(&text[copied..]);
        };
        put(None, &chain.frame.body, &mut body);
        body.pop();
        body.extend_from_slice(b",\"messages\":[");
        for (at, node) in chain.nodes.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            put(Some(at), &node.body, &mut body);
        }
        body.extend_from_slice(b"],\"stream\":true");
        if let Some(metadata) = metadata {
            body.extend_from_slice(b",\"metadata\":");
            body.extend_from_slice(metadata);
        }
        body.push(b'}');
        body
    }
}

/// The fields of an object while they are written.
struct ObjectWriter(Vec<u8>);

impl ObjectWriter {
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        write_json(value, &mut self.0);
    }

    fn put_some<T: Serialize + ?Sized>(&mut self, name: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// Writes objects, and tells where those end that are to be marked.
fn list<T: Serialize>(
    items: &[T],
    out: &mut Vec<u8>,
    ttl: impl Fn(usize) -> Option<Ttl>,
    mut mark: impl FnMut(usize, Ttl),
) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_json(item, out);
        if let Some(ttl) = ttl(at) {
            mark(out.len() - 1, ttl);
        }
    }
    out.push(b']');
}

fn ttl(breakpoints: &[Breakpoint], place: BlockPosition) -> Option<Ttl> {
    breakpoints.iter().find(|breakpoint| breakpoint.at == place).map(|breakpoint| breakpoint.ttl)
}

const fn cache_control(ttl: Ttl) -> &'static [u8] {
    match ttl {
        Ttl::FiveMinutes => br#","cache_control":{"type":"ephemeral"}"#,
        Ttl::OneHour => br#","cache_control":{"type":"ephemeral","ttl":"1h"}"#,
    }
}

/// The hash of what a request means. Most texts have only keys whose order is ours: theirs is the chain's own hash;
/// the others (`is_frame_free_form`: the frame; `is_free_form`: a message) are put in canonical order first.
pub(super) fn digest(
    chain: &Chain,
    is_frame_free_form: bool,
    is_free_form: impl Fn(usize) -> bool,
) -> Hash {
    let frame = if is_frame_free_form {
        Hash::of("frame", &[&canonical(&chain.frame.body)])
    } else {
        chain.frame.hash
    };
    let mut above: Option<Hash> = None;
    let mut differs = false;
    for (at, node) in chain.nodes.iter().enumerate() {
        let free_form = is_free_form(at);
        differs |= free_form;
        above = Some(if differs {
            let parent = above.as_ref().map_or(&[][..], |hash| hash.as_bytes());
            let canonical = free_form.then(|| canonical(&node.body));
            Hash::of("node", &[parent, canonical.as_deref().unwrap_or(&node.body)])
        } else {
            node.hash
        });
    }
    Hash::of("request", &[frame.as_bytes(), above.as_ref().map_or(&[], |hash| hash.as_bytes())])
}

fn json_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(value, &mut out);
    out
}

fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("our own types have string keys and finite numbers");
}
