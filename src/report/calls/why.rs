//! The reasons why calls went upstream, in words.

/// The reason that `call.reason` has, the detail of the call's `Cache-Status`; `None` for a word of another version.
pub(in crate::report) fn in_words(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "no-store" => "Cache-Control: no-store",
        "temporary" => "a temporary chat",
        "user-no-store" => "nothing is kept of this user",
        "no-cache" => "Cache-Control: no-cache",
        "cache-off" => "--cache lets the ledger answer no such calls",
        "asked-before" => "the chat had asked for it before",
        "no-chat-id" => "Open WebUI did not send the id of the chat",
        "no-ttl" => "there is no time to live for such answers",
        "no-answer" => "the ledger had no answer",
        "stale" => "the answer in the ledger was too old",
        "max-age" => "the answer in the ledger was too old for Cache-Control: max-age",
        "min-fresh" => "the answer in the ledger was too old soon for Cache-Control: min-fresh",
        _ => return None,
    })
}
