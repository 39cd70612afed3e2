//! Ids of uploaded files in the prompts of Open WebUI (`utils/middleware.py`, 0.12.4). An upload gets a random id, so the
//! same file uploaded again makes another prompt.
//!
//! They are not part of the key: each counts as its position among those of the request. A request goes upstream as it is.
//! An answer may name such an id, for example in the call of a tool that reads the file. It is served only to requests
//! that have the id, too ([`has_ids_of`]).

use std::ops::Range;

use memchr::memmem;

use crate::domain::{
    anthropic::{self, CanonicalRequest, ContentBlock, Role},
    chain::{Chain, Hash},
};

/// The ids of the files in a prompt of Open WebUI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileIds {
    /// There are none, or the key covers them.
    InKey,
    /// The key leaves them out.
    LeftOut,
}

/// The lines between these name the files that a message has: those whose content comes with the prompt, and those that
/// tools can read.
const ATTACHED: (&str, &str) = ("<attached_files>\n", "\n</attached_files>");
/// A file in such a list begins with one of these; other kinds, such as a chat, keep their ids when they are attached
/// again.
const FILES: [&str; 2] = [r#"<file type="file" id=""#, r#"<file type="image" id=""#];
const FILE_URL: &str = r#"" url=""#;
/// The beginning of what retrieval found.
const SOURCE: &str = r#"<source id=""#;
const SOURCE_FILE: &str = r#" resource-type="file" resource-id=""#;
/// Length of an id: a UUID, in lower case.
const LENGTH: usize = 36;

/// Computes the digest of a request of Open WebUI without the ids of its files; `None`: it has none.
pub(super) fn digest_without(request: &anthropic::Request) -> Option<Hash> {
    let mut ids = Vec::new();
    let mut changed: Option<anthropic::Request> = None;
    let system = request.system.iter().enumerate().map(|(at, block)| (None, at, block));
    let asked = request.messages.iter().enumerate();
    let asked = asked.filter(|(_, message)| message.role != Role::Assistant).flat_map(
        |(number, message)| {
            message.content.iter().enumerate().map(move |(at, block)| (Some(number), at, block))
        },
    );
    for (message, at, block) in system.chain(asked) {
        let ContentBlock::Text { text } = block else { continue };
        let Some(text) = without(text, &mut ids) else { continue };
        let changed = changed.get_or_insert_with(|| request.clone());
        let blocks = match message {
            Some(number) => &mut changed.messages[number].content,
            None => &mut changed.system,
        };
        blocks[at] = ContentBlock::Text { text };
    }
    changed.map(|changed| CanonicalRequest::of(&changed).digest)
}

/// A text with the position of each file id among `ids` in its place, to which new ones are added; `None`: it has none.
fn without(text: &str, ids: &mut Vec<String>) -> Option<String> {
    let mut places = attached(text);
    places.extend(sources(text));
    places.sort_unstable_by_key(|place| place.start);
    let mut changed = String::with_capacity(text.len());
    let mut copied = 0;
    for place in places.iter().filter(|place| is_id(&text[(*place).clone()])) {
        let id = &text[place.clone()];
        let position = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        changed += &text[copied..place.start];
        changed += "file ";
        changed += &position.to_string();
        copied = place.end;
    }
    changed += &text[copied..];
    (copied > 0).then_some(changed)
}

/// The places of ids in the lists of attached files.
fn attached(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices(ATTACHED.0) {
        let start = start + ATTACHED.0.len();
        let Some(length) = text[start..].find(ATTACHED.1) else { break };
        let mut at = start;
        for line in text[start..start + length].split('\n') {
            let id = FILES.iter().find(|begin| line.starts_with(**begin)).map(|begin| begin.len());
            if let Some(id) = id.filter(|_| line.ends_with("/>")) {
                found.push(at + id..at + id + LENGTH);
                let url = line.get(id + LENGTH..).and_then(|rest| rest.strip_prefix(FILE_URL));
                let url = url.and_then(|url| url.split('"').next()).unwrap_or_default();
                let begin = at + id + LENGTH + FILE_URL.len();
                // The id alone, or an address of Open WebUI that has it.
                found.extend(ids_in(url).map(|id| begin + id.start..begin + id.end));
            }
            at += line.len() + 1;
        }
    }
    found.retain(|place| text.get(place.clone()).is_some());
    found
}

/// The places of ids in the sources that retrieval found.
fn sources(text: &str) -> Vec<Range<usize>> {
    let tags = text.match_indices(SOURCE).filter_map(|(start, _)| {
        let tag = &text[start..start + text[start..].find('>')?];
        let id = start + tag.find(SOURCE_FILE)? + SOURCE_FILE.len();
        let place = id..id + LENGTH;
        (text.get(place.end..)?.starts_with('"') && text.get(place.clone()).is_some())
            .then_some(place)
    });
    tags.collect()
}

/// Returns whether a request has all ids that an answer names. `answer` is any text with the answer in it.
pub(super) fn has_ids_of(chain: &Chain, answer: &str) -> bool {
    let texts = || chain.nodes.iter().chain([&chain.frame]).map(|node| &node.body);
    ids_in(answer).all(|id| {
        let finder = memmem::Finder::new(&answer.as_bytes()[id]);
        texts().any(|text| finder.find(text).is_some())
    })
}

/// The places of everything that looks like an id.
fn ids_in(text: &str) -> impl Iterator<Item = Range<usize>> {
    const FIRST_DASH: usize = 8;
    memchr::memchr_iter(b'-', text.as_bytes()).filter_map(|dash| {
        let start = dash.checked_sub(FIRST_DASH)?;
        text.get(start..start + LENGTH).is_some_and(is_id).then_some(start..start + LENGTH)
    })
}

fn is_id(text: &str) -> bool {
    text.len() == LENGTH
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "e22d8e5e-dddd-49c6-987c-9920ac644475";
    const B: &str = "66ae69c5-3233-40cd-aeb0-b8fc3f161fbb";

    fn without_ids(text: &str) -> (Option<String>, usize) {
        let mut ids = Vec::new();
        let text = without(text, &mut ids);
        (text, ids.len())
    }

    #[test]
    fn ids_of_uploads_are_left_out_where_open_webui_writes_them() {
        for (text, expected, count) in [
            (
                format!(
                    "<attached_files>\n<file type=\"file\" id=\"{A}\" url=\"{A}\" content_type=\"image/png\" \
                     name=\"red.png\"/>\n</attached_files>\n\n"
                ),
                "<attached_files>\n<file type=\"file\" id=\"file 0\" url=\"file 0\" content_type=\"image/png\" \
                 name=\"red.png\"/>\n</attached_files>\n\n",
                1,
            ),
            (
                format!(
                    "<context>\n<source id=\"1\" name=\"a.pdf\" resource-type=\"file\" resource-id=\"{B}\">Text \
                     {B}</source>\n<source id=\"2\" name=\"b.pdf\" resource-type=\"file\" resource-id=\"{A}\" \
                     page=\"1\">\n</source>\n</context>\n\n<attached_files>\n<file type=\"file\" id=\"{B}\" \
                     url=\"http://w/api/v1/files/{B}/content\" name=\"a.pdf\"/>\n<file type=\"image\" id=\"{A}\"/>\n\
                     </attached_files>\n\nWhat?"
                ),
                "<context>\n<source id=\"1\" name=\"a.pdf\" resource-type=\"file\" resource-id=\"file 0\">Text \
                 66ae69c5-3233-40cd-aeb0-b8fc3f161fbb</source>\n<source id=\"2\" name=\"b.pdf\" \
                 resource-type=\"file\" resource-id=\"file 1\" page=\"1\">\n</source>\n</context>\n\n\
                 <attached_files>\n<file type=\"file\" id=\"file 0\" \
                 url=\"http://w/api/v1/files/file 0/content\" name=\"a.pdf\"/>\n<file type=\"image\" id=\"file 1\"/>\n\
                 </attached_files>\n\nWhat?",
                2,
            ),
        ] {
            assert_eq!(without_ids(&text), (Some(expected.to_owned()), count), "{text}");
        }
    }

    #[test]
    fn all_else_that_looks_like_an_id_stays() {
        for text in [
            format!("What is {A}?"),
            format!("<file type=\"file\" id=\"{A}\" url=\"{A}\"/>"),
            format!("<attached_files>\n<file type=\"file\" id=\"{A}\" url=\"{A}\"/>\n"),
            format!("<attached_files>\n<file type=\"chat\" id=\"{A}\" name=\"Mine\"/>\n</attached_files>\n\n"),
            format!("<attached_files>\nid=\"{A}\"\n</attached_files>"),
            format!("<attached_files>\n<file type=\"file\" id=\"{}\"/>\n</attached_files>", &A[1..]),
            format!("<attached_files>\n<file type=\"file\" id=\"{}\"/>\n</attached_files>", A.to_uppercase()),
            "<attached_files>\n<file type=\"file\" id=\"https://a.example/x\" url=\"é\"/>\n</attached_files>".to_owned(),
            format!("<attached_files>\n<file type=\"file\" id=\"ü{}/>\n</attached_files>", "é".repeat(30)),
            format!("<source id=\"1\" resource-type=\"note\" resource-id=\"{A}\">"),
            format!("<source id=\"1\" resource-type=\"file\" resource-id=\"{A}x\">"),
            format!("<source id=\"1\"> resource-type=\"file\" resource-id=\"{A}\">"),
            format!("<source id=\"1\" name=\"{A}\">"),
            "<source id=\"1\" resource-type=\"file\" resource-id=\"é".to_owned(),
            String::new(),
        ] {
            assert_eq!(without_ids(&text), (None, 0), "{text}");
        }
    }

    #[test]
    fn an_answer_fits_a_request_that_has_its_ids() {
        let body = format!("{{\"role\":\"user\",\"content\":\"id=\\\"{A}\\\"\"}}");
        let chain = Chain::new(b"{}".to_vec(), [body.into_bytes()]);
        for (answer, fits) in [
            ("Red.".to_owned(), true),
            ("é-é-".to_owned(), true),
            (format!("{{\"file_id\":\"{A}\"}}"), true),
            (format!("{{\"file_id\":\"{B}\"}}"), false),
            (format!("{A}{B}"), false),
            (B[..35].to_owned(), true),
        ] {
            assert_eq!(has_ids_of(&chain, &answer), fits, "{answer}");
        }
    }

    #[test]
    fn requests_differ_only_in_the_ids_of_their_files() {
        let request = |role, system: &str, texts: [String; 2]| anthropic::Request {
            model: "m".to_owned(),
            system: vec![ContentBlock::Text { text: system.to_owned() }],
            messages: vec![anthropic::RequestMessage {
                role,
                content: texts.map(|text| ContentBlock::Text { text }).into(),
            }],
            ..anthropic::Request::default()
        };
        let file = |id: &str, name: &str| {
            format!(
                "<attached_files>\n<file type=\"file\" id=\"{id}\" url=\"{id}\" name=\"{name}\"/>\n</attached_files>\n\n"
            )
        };
        let of = |first: &str, second: &str, name| {
            digest_without(&request(Role::User, "x", [file(first, name), file(second, name)]))
        };
        assert!(of(A, B, "a.png").is_some());
        assert_eq!(of(A, B, "a.png"), of(B, A, "a.png"));
        assert_ne!(of(A, B, "a.png"), of(A, A, "a.png"), "the same file twice");
        assert_ne!(of(A, B, "a.png"), of(A, B, "b.png"));
        let texts = || [file(A, "a"), String::new()];
        assert_eq!(digest_without(&request(Role::Assistant, "x", texts())), None);
        let source = format!("<source id=\"1\" resource-type=\"file\" resource-id=\"{A}\">");
        assert!(digest_without(&request(Role::Assistant, &source, texts())).is_some());
    }
}
