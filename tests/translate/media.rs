//! Pictures and documents: every type of bytes under every declared type, in every form of a part, in every turn.

use base64::{Engine, engine::general_purpose::STANDARD};
use reprise::domain::{
    catalog::Catalog,
    openai,
    translate::{Error, Translated},
};
use serde_json::{Value, json};

use super::{plain, upstream};

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Picture(&'static str),
    Pdf,
    /// A text, or a picture that is one.
    Svg,
    Unreadable,
}
use Outcome::{Pdf, Picture, Svg, Unreadable};

const FILES: [(&[u8], Outcome); 14] = [
    (b"\x89PNG\r\n\x1a\n....", Picture("image/png")),
    (b"\xff\xd8\xff\xe0....", Picture("image/jpeg")),
    (b"GIF89a....", Picture("image/gif")),
    (b"RIFF....WEBPVP8 ", Picture("image/webp")),
    (b"%PDF-1.4\n%%EOF", Pdf),
    (b"\r\n%PDF-1.4\n%%EOF", Pdf),
    (b"\x80\x02 a printer's words\n%PDF-1.4\n%%EOF", Pdf),
    (b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>", Svg),
    (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Unreadable),
    (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", Unreadable),
    (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", Unreadable),
    (b"II*\0\x08\0\0\0", Unreadable),
    (b"", Unreadable),
    (b"\xfe\x80\x81", Unreadable),
];

const DECLARED: [&str; 8] = [
    "image/png",
    "image/jpeg",
    "IMAGE/JPG",
    "application/pdf",
    "image/svg+xml",
    "image/heic",
    "application/octet-stream",
    "",
];

/// The forms of a part; true for those that take a text for a text, whatever it is called.
fn forms(declared: &str, data: &str) -> [(Value, bool); 6] {
    let url = format!("data:{declared};base64,{data}");
    let source = json!({"type": "base64", "media_type": declared, "data": data});
    [
        (json!({"type": "image_url", "image_url": {"url": url}}), false),
        (json!({"type": "image_url", "image_url": url}), false),
        (json!({"type": "file", "file": {"file_data": url, "filename": "a"}}), true),
        (json!({"type": "file", "file": {"file_url": url}}), true),
        (json!({"type": "image", "source": source}), false),
        (json!({"type": "document", "source": source}), true),
    ]
}

/// A place in a conversation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Only,
    Last,
    Earlier,
    Continued,
    ToolResult,
    BesideToolResult,
}

const PLACES: [Place; 6] = [
    Place::Only,
    Place::Last,
    Place::Earlier,
    Place::Continued,
    Place::ToolResult,
    Place::BesideToolResult,
];

impl Place {
    fn messages(self, part: &Value) -> Value {
        let user = |content: Value| json!({"role": "user", "content": content});
        let call = json!({"role": "assistant", "tool_calls": [{"id": "t", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]});
        let answer = json!({"role": "assistant", "content": "ok"});
        let result =
            |content: Value| json!({"role": "tool", "tool_call_id": "t", "content": content});
        match self {
            Self::Only => json!([user(json!([part]))]),
            Self::Last => json!([user(json!("hi")), answer, user(json!([part]))]),
            Self::Earlier => json!([user(json!([part])), answer, user(json!("hi"))]),
            Self::Continued => json!([user(json!([part])), answer]),
            Self::ToolResult => json!([user(json!("hi")), call, result(json!([part]))]),
            Self::BesideToolResult => {
                json!([user(json!("hi")), call, result(json!("ok")), user(json!([part]))])
            }
        }
    }

    /// True where the user can send something else.
    fn can_be_changed(self) -> bool {
        matches!(self, Self::Only | Self::Last | Self::Continued)
    }
}

fn translated(messages: &Value) -> Result<Translated, Error> {
    let body = json!({"model": "claude-haiku-4-5", "messages": messages});
    let request = openai::Request::parse(body.to_string().as_bytes()).unwrap();
    plain(&request, &Catalog::builtin())
}

/// The block that a part at this place becomes.
fn block(part: &Value, place: Place) -> Result<Value, Error> {
    let translated = translated(&place.messages(part))?;
    let sent = upstream(&translated.request);
    let messages = sent["messages"].as_array().unwrap();
    let at =
        if matches!(place, Place::Earlier | Place::Continued) { 0 } else { messages.len() - 1 };
    let content = messages[at]["content"].as_array().unwrap();
    let mut block = content.last().unwrap();
    if block["type"] == "tool_result" {
        block = &block["content"][0];
    }
    let is_placeholder = block["text"].as_str().is_some_and(|text| text.starts_with('['));
    let told = translated.notes.iter().any(|note| note.what.contains("a text stands in its place"));
    assert_eq!(is_placeholder, told, "{:?}", translated.notes);
    Ok(block.clone())
}

#[test]
fn bytes_decide_and_what_cannot_be_read_ends_no_chat() {
    for (bytes, outcome) in FILES {
        for declared in DECLARED {
            for (form, takes_texts) in forms(declared, &STANDARD.encode(bytes)) {
                for place in PLACES {
                    check(bytes, outcome, declared, &form, takes_texts, place);
                }
            }
        }
    }
}

fn check(
    bytes: &[u8],
    outcome: Outcome,
    declared: &str,
    form: &Value,
    takes_texts: bool,
    place: Place,
) {
    let block = block(form, place);
    let told = format!("{form} {place:?}: {block:?}");
    let is_readable = match outcome {
        Picture(media_type) => {
            let source = &block.as_ref().expect(&told)["source"];
            assert_eq!(
                (&source["media_type"], &source["data"]),
                (&json!(media_type), &json!(STANDARD.encode(bytes))),
                "{told}"
            );
            assert_eq!(block.as_ref().unwrap()["type"], "image", "{told}");
            true
        }
        Pdf => {
            let block = block.as_ref().expect(&told);
            let is_pdf =
                block["type"] == "document" && block["source"]["media_type"] == "application/pdf";
            assert!(is_pdf, "{told}");
            let data = STANDARD.decode(block["source"]["data"].as_str().unwrap()).unwrap();
            assert!(data.starts_with(b"%PDF-1.4"), "{told}");
            true
        }
        Svg if takes_texts => {
            assert_eq!(block.as_ref().expect(&told)["source"]["type"], "text", "{told}");
            true
        }
        // Whoever says that it is no picture means a text.
        Svg => {
            !declared.starts_with("image/") && !declared.is_empty() && form["type"] == "image_url"
        }
        Unreadable => false,
    };
    if is_readable {
        return;
    }
    match block {
        Ok(block) => {
            assert!(!place.can_be_changed(), "{told}");
            let text = block["text"].as_str().expect(&told);
            assert!(text.ends_with("which Claude cannot read]"), "{told}");
            assert!(outcome != Svg || text.contains("of type image/svg+xml"), "{told}");
        }
        Err(error) => {
            assert!(place.can_be_changed(), "{told}");
            assert!(error.param().starts_with("messages["), "{told}");
        }
    }
}

#[test]
fn base64_is_mended_where_it_is_clear_what_was_meant() {
    let png = STANDARD.encode([&b"\x89PNG\r\n\x1a\n\xfb\xff\xfe"[..], b"12345"].concat());
    let expected = json!({"type": "base64", "media_type": "image/png", "data": png});
    let unpadded = png.trim_end_matches('=');
    let lines = format!("{}\r\n{}\n", &png[..8], &png[8..]);
    for data in [
        lines,
        png.replace('+', "-").replace('/', "_"),
        unpadded.to_owned(),
        format!("{unpadded}===="),
        png.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D"),
        format!(" {png} "),
    ] {
        for part in [
            json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}}),
            json!({"type": "image_url", "image_url": {"url": data}}),
            json!({"type": "file", "file": {"file_data": data}}),
            json!({"type": "image", "source": {"type": "base64", "data": data}}),
            json!({"type": "image", "source": {"type": "base64", "data": format!("data:image/png;base64,{data}")}}),
        ] {
            assert_eq!(block(&part, Place::Only).unwrap()["source"], expected, "{part}");
        }
    }
}

#[test]
fn addresses_go_by_their_names() {
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let file = |url: &str, name: &str| json!({"type": "file", "file": {"file_url": url, "filename": name}});
    for (part, expected) in [
        (image("https://x/a.pdf?b=c.png"), Some("document")),
        (image("https://x/a.PDF"), Some("document")),
        (image("https://x/a.png#b.pdf"), Some("image")),
        (image("https://x/a"), Some("image")),
        (image("https://x/a.svg"), None),
        (image("https://x/a.heic"), None),
        (file("https://x/a.pdf", ""), Some("document")),
        (file("https://x/download", "a.png"), Some("image")),
        (file("https://x/download", "a.pdf"), Some("document")),
        (file("https://x/download", "a.mp3"), None),
        (json!({"type": "file", "file": {"url": "https://x/a.pdf"}}), Some("document")),
    ] {
        match (block(&part, Place::Last), expected) {
            (Ok(block), Some(expected)) => assert_eq!(block["type"], expected, "{part}"),
            (Err(_), None) => {
                let earlier = block(&part, Place::Earlier).unwrap();
                assert!(earlier["text"].as_str().unwrap().contains("cannot read"), "{part}");
            }
            (outcome, _) => panic!("{part}: {outcome:?}"),
        }
    }
}

#[test]
fn sound_and_videos_of_earlier_turns_are_replaced() {
    for (kind, told) in
        [("input_audio", "sound recording"), ("video_url", "video"), ("input_video", "video")]
    {
        let part = json!({"type": kind, kind: {"data": "AAAA", "format": "wav", "url": "data:video/mp4;base64,AAAA"}});
        for place in PLACES {
            match block(&part, place) {
                Ok(block) => {
                    assert!(!place.can_be_changed());
                    assert_eq!(block["text"], format!("[{told}, which Claude cannot read]"));
                }
                Err(error) => {
                    assert!(place.can_be_changed());
                    assert!(error.param().contains("].type"), "{error}");
                }
            }
        }
    }
    let answer = json!([{"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": "hi"}]);
    assert!(translated(&answer).is_ok(), "an answer in sound");
}

#[test]
fn a_placeholder_names_the_file_and_nothing_else_of_it() {
    let name = format!("a\"b\nc{}.docx", "x".repeat(500));
    let part = json!({"type": "file", "file": {"filename": name, "file_data": "data:text/<b>;base64,UEsDBBQABgAIAAAAIQA="}});
    let part = block(&part, Place::Earlier).unwrap();
    let text = part["text"].as_str().unwrap();
    assert!(text.starts_with("[file \"abcxxx") && text.len() < 200, "{text}");
    assert!(text.ends_with("\" of type application/zip, which Claude cannot read]"), "{text}");
}

#[test]
fn pictures_over_a_limit_are_sent_smaller_and_say_so() {
    let wide = png(8001, 2);
    let many = png(2001, 2);
    let picture = |png: &[u8]| json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{}", STANDARD.encode(png))}});
    let small = picture(&png(2, 2));
    let shrunk = |parts: Vec<Value>| {
        let sent = translated(&json!([{"role": "user", "content": parts}])).unwrap();
        let notes =
            sent.notes.iter().filter(|note| note.what.contains("it is sent smaller")).count();
        (notes, upstream(&sent.request)["messages"][0]["content"][0]["source"]["data"].clone())
    };
    let twenty = |first: &Value| [vec![first.clone()], vec![small.clone(); 19]].concat();
    let (notes, of_wide) = shrunk(vec![picture(&wide)]);
    assert_eq!(notes, 1);
    assert_eq!(shrunk(vec![picture(&wide)]).1, of_wide, "the same bytes every time");
    assert_eq!(shrunk(twenty(&picture(&wide))).1, of_wide, "and whatever stands beside it");
    assert_eq!(shrunk(twenty(&picture(&many))), (0, json!(STANDARD.encode(&many))));
    let twenty_one = [twenty(&picture(&many)), vec![small.clone()]].concat();
    assert_eq!(shrunk(twenty_one).0, 1);
    // Half of the pixels are missing.
    let broken = picture(&wide[..wide.len() / 2]);
    let error = block(&broken, Place::Last).unwrap_err();
    assert!(error.to_string().contains("8000 pixels"), "{error}");
    assert_eq!(error.param(), "messages[2].content[0].image_url.url");
    let placeholder = block(&broken, Place::Earlier).unwrap();
    assert_eq!(placeholder["text"], "[picture of type image/png, which is too large for Claude]");
}

/// A grey PNG of this size.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut encoded = std::io::Cursor::new(Vec::new());
    let picture = image::GrayImage::from_fn(width, height, |x, y| {
        image::Luma([x.to_le_bytes()[0] ^ y.to_le_bytes()[0]])
    });
    picture.write_to(&mut encoded, image::ImageFormat::Png).unwrap();
    encoded.into_inner()
}
