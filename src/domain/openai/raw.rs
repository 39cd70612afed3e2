//! A client's request as it was written: for the ledger, which keeps what was really sent.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::chain::Chain;

/// The request as a chain of its messages, byte for byte as the client wrote them, and a frame of the other fields
/// in alphabetical order. Without `messages`, `input` has them. `None` if there are none.
pub fn chain(body: &[u8]) -> Option<Chain> {
    #[derive(Deserialize)]
    struct SortedObject<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

    let mut fields = serde_json::from_slice::<SortedObject<'_>>(body).ok()?.0;
    let is_given = |value: &&RawValue| !matches!(value.get(), "null" | "[]");
    let given = fields.remove("messages").filter(is_given).or_else(|| fields.remove("input"))?;
    let messages = match serde_json::from_str::<Vec<&RawValue>>(given.get()) {
        Ok(messages) => messages,
        Err(_) => vec![given],
    };
    let frame = serde_json::to_vec(&fields).ok()?;
    Some(Chain::new(frame, messages.into_iter().map(|message| message.get().as_bytes().to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_kept_as_they_were_written() {
        let body = br#"{"stream":true, "messages":[ {"role": "user","content":"a\u00e9"} ,{"x":1}], "model":"m"}"#;
        let chain = chain(body).unwrap();
        assert_eq!(chain.frame.body, br#"{"model":"m","stream":true}"#);
        let nodes: Vec<_> =
            chain.nodes.iter().map(|node| std::str::from_utf8(&node.body).unwrap()).collect();
        assert_eq!(nodes, [r#"{"role": "user","content":"a\u00e9"}"#, r#"{"x":1}"#]);
    }

    #[test]
    fn messages_may_stand_alone_or_in_input() {
        let nodes = |body: &[u8]| {
            let nodes = chain(body)?.nodes;
            Some(
                nodes.iter().map(|node| String::from_utf8_lossy(&node.body).into_owned()).collect(),
            )
        };
        let hi = || Some(vec![r#""hi""#.to_owned()]);
        assert_eq!(nodes(br#"{"messages":"hi"}"#), hi());
        assert_eq!(nodes(br#"{"messages":null,"input":["hi"]}"#), hi());
        assert_eq!(nodes(br#"{"messages":["hi"],"input":"x"}"#), hi());
        assert_eq!(nodes(br#"{"model":"m"}"#), None::<Vec<String>>);
    }
}
