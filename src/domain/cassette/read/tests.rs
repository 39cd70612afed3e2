//! Mistakes in files that a hand wrote: one row for each, with the line and the report.

use super::*;
use crate::domain::cassette::Cassette;

/// A file whose response begins on line 4.
fn file(response: &str) -> String {
    format!(
        "{{\"schema\": 1,\n \"client\": {{\"body\":\n  {{\"model\": \"m\", \"messages\": []}}}},\n \"response\": {response}}}"
    )
}

/// A file with an upstream request, whose body begins on line 3.
fn asks(body: &str) -> String {
    format!(
        "{{\"schema\": 1,\n \"upstream\": {{\"body\":\n  {body}}},\n \"response\": {{\"message\": {{\"content\": \"Hi\"}}}}}}"
    )
}

/// The findings as `line: what`; harmless ones in parentheses.
fn findings(text: &str) -> Vec<String> {
    let (cassette, findings) = read(text, &|_| None);
    assert_eq!(cassette.is_none(), findings.iter().any(|finding| !finding.harmless), "{text}");
    let told = findings.into_iter().map(|FileFinding { line, what, harmless }| {
        if harmless { format!("({line}: {what})") } else { format!("{line}: {what}") }
    });
    told.collect()
}

fn cassette(text: &str) -> Cassette {
    read(text, &|_| None).0.unwrap_or_else(|| panic!("{:?}", findings(text)))
}

/// Responses, and the finding of each.
const RESPONSES: &[(&str, &str)] = &[
    // Blocks.
    (
        "{\"message\": {\"content\": [\n{\"type\": \"txt\", \"text\": \"a\"}]}}",
        "5: there is no type of block \"txt\"; did you mean \"text\"?",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"function\",\n\"name\": \"f\"}]}}",
        "4: there is no type of block \"function\"; did you mean \"tool_use\"?",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"picture\"}]}}",
        "4: there is no type of block \"picture\"; there are text, thinking, redacted_thinking, tool_use, \
             server_tool_use, mcp_tool_use, web_search_tool_result, web_fetch_tool_result, code_execution_tool_result, \
             bash_code_execution_tool_result, text_editor_code_execution_tool_result, tool_search_tool_result, \
             mcp_tool_result, advisor_tool_result, container_upload, compaction, fallback, mcp_tool_listing, \
             connector_text",
    ),
    ("{\"message\": {\"content\": [\n{\"text\": \"a\"}]}}", "5: block 1 needs \"type\""),
    ("{\"message\": {\"content\": [\n\"a\"]}}", "5: block 1 must be an object, not a text"),
    ("{\"message\": {\"content\": [{\"type\":\n7}]}}", "5: type must be a text, not a number"),
    ("{\"message\": {\"content\": [{\"type\": \"text\", \"text\":\n\"\"}]}}", "5: text is empty"),
    ("{\"message\": {\"content\": [\n{\"type\": \"text\"}]}}", "5: a text block needs \"text\""),
    (
        "{\"message\": {\"content\": [{\"type\": \"text\", \"text\": \"a\",\n\"txet\": 1}]}}",
        "5: a text block has no field \"txet\"; did you mean \"text\"?",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"text\", \"text\": \"a\",\n\"text\": \"b\"}]}}",
        "5: a text block has \"text\" twice",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"text\", \"text\": \"a\", \"citations\": [\n{}]}]}}",
        "5: each of citations must be an object with a type",
    ),
    // Tools.
    (
        "{\"message\": {\"content\": [\n{\"type\": \"tool_use\", \"name\": \"f\"}]}}",
        "5: a tool_use block needs \"id\"",
    ),
    (
        "{\"message\": {\"content\": [\n{\"type\": \"tool_use\", \"id\": \"t\"}]}}",
        "5: a tool_use block needs \"name\"",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"tool_use\", \"name\": \"f\", \"id\":\n\"\"}]}}",
        "5: id is empty",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"tool_use\", \"id\": \"t\", \"name\": \"f\", \"input\":\n\"{}\"}]}}",
        "5: input must be an object, not a text",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"tool_use\", \"id\": \"t\", \"name\": \"f\",\n\"arguments\": {}}]}}",
        "5: a tool_use block has no field \"arguments\"; did you mean \"input\"?",
    ),
    (
        "{\"message\": {\"content\": [{\"type\": \"tool_use\", \"id\": \"t\", \"name\": \"f\"},\n\
             {\"type\": \"tool_use\", \"id\": \"t\", \"name\": \"g\"}]}}",
        "5: block 2 has the id of block 1",
    ),
    (
        "{\"message\": {\"content\": [\n{\"type\": \"web_search_tool_result\", \"content\": []}]}}",
        "5: a web_search_tool_result block needs \"tool_use_id\"",
    ),
    // The message.
    ("{\"message\":\n{}}", "5: a message needs \"content\""),
    (
        "{\"message\": {\"content\":\n\"\"}}",
        "5: content is empty; for an answer without any, write []",
    ),
    (
        "{\"message\": {\"content\":\n[]}}",
        "5: content is empty; if that is meant, say why with a stop_reason",
    ),
    (
        "{\"message\": {\"content\":\n{}}}",
        "5: content must be a text or a list of blocks, not an object",
    ),
    ("{\"message\":\n\"Hi\"}", "5: a message must be an object, not a text"),
    (
        "{\"message\": {\"content\": \"a\",\n\"finish_reason\": \"stop\"}}",
        "5: a message has no field \"finish_reason\"; did you mean \"stop_reason\"?",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"stop_reason\":\n\"end_trun\"}}",
        "5: there is no stop_reason \"end_trun\"; did you mean \"end_turn\"?",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"stop_reason\":\n\"length\"}}",
        "5: there is no stop_reason \"length\"; did you mean \"max_tokens\"?",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"stop_reason\":\nnull}}",
        "5: stop_reason must be a text, not null",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"role\":\n\"user\"}}",
        "5: there is no role \"user\"; there is only assistant",
    ),
    ("{\"message\": {\"content\": \"a\", \"model\":\n\"\"}}", "5: model is empty"),
    (
        "{\"message\": {\"content\": \"a\", \"stop_reason\":\n\"tool_use\"}}",
        "(5: it stops for tool_use, and has no tool_use block)",
    ),
    (
        "{\"message\": {\"stop_reason\":\n\"end_turn\", \"content\": [{\"type\": \"tool_use\", \"id\": \"t\", \"name\": \"f\"}]}}",
        "(5: it has a tool_use block; Claude stops for tool_use then)",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"stop_reason\":\n\"stop_sequence\"}}",
        "(5: it stops at a stop_sequence, and does not say at which)",
    ),
    // Usage.
    (
        "{\"message\": {\"content\": \"a\", \"usage\": {\n\"prompt_tokens\": 1}}}",
        "5: usage has no field \"prompt_tokens\"; did you mean \"input_tokens\"?",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\": {\n\"output_token\": 1}}}",
        "5: usage has no field \"output_token\"; did you mean \"output_tokens\"?",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\": {\"output_tokens\":\n-1}}}",
        "5: output_tokens must be a whole number, not a negative number",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\": {\"output_tokens\":\n\"5\"}}}",
        "5: output_tokens must be a whole number, not a text",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\":\nnull}}",
        "5: usage must be an object, not null",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\": {\"cache_creation\": {\n\"5m\": 1}}}}",
        "5: cache_creation has no field \"5m\"; there are ephemeral_5m_input_tokens, ephemeral_1h_input_tokens",
    ),
    (
        "{\"message\": {\"content\": \"a\", \"usage\":\n{\"output_tokens\": 1, \"output_tokens_details\": {\"thinking_tokens\": 2}}}}",
        "(5: these counts cannot all be right: the cost is a lower bound)",
    ),
    // Errors.
    ("{\"error\":\n{\"type\": \"api_error\"}}", "5: an error needs \"message\""),
    ("{\"error\":\n{\"message\": \"No\"}}", "5: an error needs \"type\""),
    (
        "{\"error\": {\"type\": \"error\", \"error\":\n{\"type\": \"api_error\"}}}",
        "5: an error needs \"message\"",
    ),
    (
        "{\"error\":\n\"Overloaded\"}",
        "5: an error must be an object with type and message, not a text",
    ),
    (
        "{\"error\": {\"message\": \"No\", \"type\":\n\"overloaded\"}}",
        "5: Anthropic has no error \"overloaded\"; there are invalid_request_error, authentication_error, \
             billing_error, permission_error, not_found_error, conflict_error, request_too_large, rate_limit_error, \
             api_error, timeout_error, overloaded_error",
    ),
    (
        "{\"error\": {\"message\": \"No\", \"type\":\n\"ratelimit_eror\"}}",
        "5: Anthropic has no error \"ratelimit_eror\"; did you mean \"rate_limit_error\"?",
    ),
    (
        "{\"error\": {\"type\": \"api_error\", \"message\": \"No\",\n\"code\": 5}}",
        "5: an error has no field \"code\"; there are type, message, details",
    ),
    (
        "{\"status\":\n429, \"error\": {\"type\": \"overloaded_error\", \"message\": \"No\"}}",
        "(5: Anthropic sends overloaded_error with 529)",
    ),
    (
        "{\"status\":\n200, \"error\": {\"type\": \"api_error\", \"message\": \"No\"}}",
        "5: an error needs a status from 400 to 599, not 200",
    ),
    (
        "{\"status\":\n700, \"error\": {\"type\": \"api_error\", \"message\": \"No\"}}",
        "5: an error needs a status from 400 to 599, not 700",
    ),
    // The response.
    (
        "{\"status\":\n500, \"message\": {\"content\": \"a\"}}",
        "5: a stream or a message needs the status 200, not 500; to fail, write an \"error\"",
    ),
    (
        "{\"status\":\n\"200\", \"message\": {\"content\": \"a\"}}",
        "5: status must be a whole number, not a text",
    ),
    (
        "{\"delay\":\n-5, \"message\": {\"content\": \"a\"}}",
        "5: delay must be a whole number, not a negative number",
    ),
    (
        "{\"delay\":\n1.5, \"message\": {\"content\": \"a\"}}",
        "5: delay must be a whole number, not a fraction",
    ),
    (
        "{\"cut_after\":\n7, \"message\": {\"content\": \"a\"}}",
        "5: cut_after 7 cuts nothing: the answer has 6 events",
    ),
    (
        "{\"cut_after\":\n6, \"message\": {\"content\": \"a\"}}",
        "5: cut_after 6 cuts nothing: the answer has 6 events",
    ),
    (
        "{\"cut_after\":\n1, \"error\": {\"type\": \"api_error\", \"message\": \"No\"}}",
        "5: an error has no events, so cut_after cannot cut it",
    ),
    (
        "{\"headers\":\n[], \"message\": {\"content\": \"a\"}}",
        "5: headers must be an object, not a list",
    ),
    (
        "{\"headers\": {\"retry-after\":\n5}, \"message\": {\"content\": \"a\"}}",
        "5: a header must be a text, not a number",
    ),
    (
        "{\"headers\": {\"retry-after\":\n\"5\\n\"}, \"message\": {\"content\": \"a\"}}",
        "5: a header must be of printable ASCII characters",
    ),
    (
        "{\n\"mesage\": {\"content\": \"a\"}}",
        "5: response has no field \"mesage\"; did you mean \"message\"?",
    ),
];

#[test]
fn each_mistake_in_a_response_is_named_with_its_line() {
    for (response, expected) in RESPONSES {
        let found = findings(&file(response));
        assert_eq!(found.last().map(String::as_str), Some(*expected), "{response}\n{found:#?}");
        let alone = if response.contains("mesage") { 2 } else { 1 };
        assert_eq!(found.len(), alone, "{response}\n{found:#?}");
    }
}

#[test]
fn each_mistake_in_a_file_is_named_with_its_line() {
    let answer = "\"response\": {\"message\": {\"content\": \"Hi\"}}";
    for (text, expected) in [
        (
            format!(
                "{{\"schema\": 1, \"client\": {{\"body\":\n{{\"messages\": \"Hi\"}}}}, {answer}}}"
            ),
            "2: the body of client must be an object with a list of messages",
        ),
        (
            format!(
                "{{\"schema\": 1, \"client\": {{\"door\":\n\"chats\", \"body\": {{\"messages\": []}}}}, {answer}}}"
            ),
            "2: the door must be \"chat\" or \"messages\"",
        ),
        (
            format!("{{\"schema\": 1, \"client\":\n[], {answer}}}"),
            "2: client must be an object, not a list",
        ),
        (
            format!(
                "{{\"schema\": 1, \"upstream\": {{\"betas\":\n\"b\", \"body\": {{\"messages\": []}}}}, {answer}}}"
            ),
            "2: betas must be a list, not a text",
        ),
        (
            format!(
                "{{\"schema\": 1,\n\"recorded\": \"yesterday\", \"client\": {{\"body\": {{\"messages\": []}}}}, {answer}}}"
            ),
            "(2: recorded must be a date such as 2026-11-24, not \"yesterday\")",
        ),
        (
            format!(
                "{{\"schema\": 1,\n\"recorded\": \"2026-02-30\", \"client\": {{\"body\": {{\"messages\": []}}}}, {answer}}}"
            ),
            "(2: recorded must be a date such as 2026-11-24, not \"2026-02-30\")",
        ),
        (
            format!(
                "{{\"schema\": 1,\n\"recorded\": 20261124, \"client\": {{\"body\": {{\"messages\": []}}}}, {answer}}}"
            ),
            "2: recorded must be a text, not a number",
        ),
        (
            format!(
                "{{\"schema\": 1, \"client\": {{\"body\": {{\"messages\": []}}}}, {answer},\n{answer}}}"
            ),
            "2: a fixture has \"response\" twice",
        ),
        (
            format!("{{\"client\": {{\"body\": {{\"messages\": []}}}},\n {answer}}}"),
            "1: this is not a fixture: it has no \"schema\": 1",
        ),
    ] {
        let found = findings(&text);
        assert!(found.iter().any(|found| found == expected), "{text}\n{found:#?}");
    }
}

#[test]
fn all_mistakes_are_named_at_once_in_the_order_of_their_lines() {
    let text = file(
        "{\n\"status\": 9, \"dealy\": 1,\n\"cut_after\": -1,\n\"message\": {\"content\": [{\"type\": \"tool_use\"}],\n\
         \"stop_reason\": \"stopp\"}}",
    );
    let found = findings(&text);
    let lines: Vec<&str> = found.iter().map(|found| found.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["5", "5", "6", "7", "7", "8"], "{found:#?}");
}

#[test]
fn a_recorded_answer_may_be_newer_than_this_version() {
    let error = "{\"status\": 418, \"error\": {\"type\": \"error\", \"error\": {\"type\": \"of_tomorrow\", \"message\": \"\"}}}";
    let text = file(error).replace("\"client\"", "\"recorded\": \"2026-11-24\", \"upstream\"");
    assert_eq!(findings(&text), [""; 0]);
    assert_eq!(findings(&file(error)).len(), 2);
}

#[test]
fn both_forms_of_an_error_are_one_and_have_a_fitting_status() {
    let inner = "{\"type\": \"overloaded_error\", \"message\": \"Busy\"}";
    let expected = format!("{{\"type\":\"error\",\"error\":{inner}}}");
    for error in [
        inner.to_owned(),
        format!("{{\"error\":{inner}}}"),
        format!("{{\"type\":\"error\",\"error\":{inner}}}"),
    ] {
        let response = cassette(&file(&format!("{{\"error\": {error}}}"))).response;
        assert_eq!((response.status, response.body), (529, ResponseBody::Error(expected.clone())));
        let own = cassette(&file(&format!("{{\"status\": 503, \"error\": {error}}}")));
        assert_eq!(own.response.status, 503);
        assert_eq!(own.response.summary(), ["error 503 overloaded_error: Busy"]);
    }
}

#[test]
fn each_mistake_in_a_wildcard_is_named_with_its_line() {
    let message = |content: &str| {
        asks(&format!("{{\"messages\": [{{\"role\": \"user\", \"content\":\n{content}}}]}}"))
    };
    for (text, expected) in [
        (message("{\"$any\": false}"), "4: $any must be true, not false"),
        (message("{\"$any\": \"text\"}"), "4: $any must be true, not a text"),
        (message("{\"$like\": 5}"), "4: $like must be a text, not a number"),
        (
            message("{\"$like\": \"a*\", \"x\": 1}"),
            "4: a wildcard stands alone in its object: {\"$any\": true}, or {\"$like\": \"a * b\"}",
        ),
        (
            message("{\"$any\": true, \"$like\": \"*\"}"),
            "4: a wildcard stands alone in its object: {\"$any\": true}, or {\"$like\": \"a * b\"}",
        ),
        (
            message("{\"$like\": \"\\\\d*\"}"),
            "4: in $like, a backslash stands before an asterisk or a backslash",
        ),
        (
            message("{\"$like\": \"*\\\\\"}"),
            "4: in $like, a backslash stands before an asterisk or a backslash",
        ),
        (message("{\"$lik\": \"*\"}"), "4: there is no wildcard \"$lik\"; did you mean \"$like\"?"),
        (
            message("{\"$regex\": \".*\"}"),
            "4: there is no wildcard \"$regex\"; there are $any, $like",
        ),
        (message("{\"$like\": \"a\"}"), "(4: $like has no asterisk, so it is like one text only)"),
        (
            message("{\"$any\": true}")
                .replace("\"upstream\"", "\"client\"")
                .replace("{\"messages", "{\"model\": {\"$any\": true}, \"messages"),
            "3: the translation depends on the model: a wildcard for it belongs into an \"upstream\" request",
        ),
        (
            asks("{\"messages\":\n{\"$any\": true}}").replace("upstream", "client"),
            "4: the body of client must be an object with a list of messages",
        ),
    ] {
        assert_eq!(findings(&text), [expected], "{text}");
    }
    for text in [
        message("{\"$any\": true}"),
        message("[{\"type\": \"text\", \"text\": {\"$like\": \"a \\\\* * b\"}}]"),
        asks("{\"messages\": {\"$any\": true}, \"model\": {\"$any\": true}}"),
        asks("{\"messages\": [], \"tools\": [{\"input_schema\": {\"$ref\": \"#\"}}]}"),
    ] {
        assert_eq!(findings(&text), [""; 0], "{text}");
        assert_eq!(
            cassette(&text).has_wildcards(),
            text.contains("$any") || text.contains("$like")
        );
    }
}
