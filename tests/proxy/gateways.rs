//! What gateways do to the events of an answer: an end without its blank line, and events that come twice.

use crate::{
    proxy::early::{MESSAGES, asked, hello, question, text_of, ways},
    support::{
        app::{App, CHAT, ask},
        script::Script,
        sse,
        upstream::Upstream,
    },
};

#[tokio::test]
async fn an_answer_that_lacks_only_its_last_blank_line_is_whole() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    for missing in [1, 2] {
        for crlf in [false, true] {
            for (path, streams) in ways() {
                let mut body = hello().concat();
                body.truncate(body.len() - missing);
                if crlf {
                    body = body.replace('\n', "\r\n");
                }
                let text = format!("{missing} {crlf} {path} {streams}");
                upstream.push(Script::sse([body.clone()]));
                for repeat in [false, true] {
                    let reply = app.client().post(path, &question(&text, streams)).await;
                    assert_eq!(reply.status.as_u16(), 200, "{text}");
                    let body = reply.text().await;
                    assert!(body.contains("lo") && !body.contains("error"), "{text}: {body}");
                    if path == MESSAGES && streams {
                        let end = if crlf { "\r\n\r\n" } else { "\n\n" };
                        assert!(body.ends_with(&format!("\"message_stop\"}}{end}")), "{body:?}");
                    }
                    assert_eq!(asked(&upstream, &text).0, 1, "{text} {repeat}");
                }
            }
        }
    }
    assert!(
        app.ledger().exchanges().await.iter().all(|it| it.outcome == "complete" && it.servable)
    );
    // An error event, too, says what it says.
    let error = sse::error("authentication_error", "no");
    upstream.push(Script::sse([error.trim_end().to_owned()]));
    assert_eq!(app.client().post(CHAT, &ask("error")).await.status.as_u16(), 401);
}

#[tokio::test]
async fn an_answer_that_lacks_only_message_stop_is_whole() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let (events, end) = (hello(), hello().len() - 1);
    assert!(events[end].contains("message_stop"));
    for (path, streams) in ways() {
        let text = format!("{path} {streams}");
        upstream.push(Script::sse(events[..end].to_vec()));
        for _ in 0..2 {
            let reply = app.client().post(path, &question(&text, streams)).await;
            assert_eq!(reply.status.as_u16(), 200, "{text}");
            if (path, streams) == (MESSAGES, true) {
                assert_eq!(reply.text().await, events.concat());
            } else {
                assert_eq!(text_of(path, streams, reply).await, "Hello", "{text}");
            }
        }
        assert_eq!(asked(&upstream, &text).0, 1, "{text}");
        // An end before the reason for it is none, and neither is a connection that breaks.
        for (number, script) in
            [Script::sse(events[..end - 1].to_vec()), Script::sse(events[..end].to_vec()).cut()]
                .into_iter()
                .enumerate()
        {
            let text = format!("{text} {number}");
            upstream.push(script);
            let reply = app.client().post(path, &question(&text, streams)).await;
            let status = reply.status.as_u16();
            let told = reply.text().await;
            assert!(told.contains("error") && !told.contains("[DONE]"), "{text}: {told}");
            assert_eq!(status, if streams { 200 } else { 502 }, "{text}");
        }
    }
    let ledger = app.stop().await;
    let whole = ledger.exchanges().await.into_iter().filter(|it| it.outcome == "complete");
    assert_eq!(whole.filter(|exchange| exchange.servable).count(), ways().len());
}

#[tokio::test]
async fn what_a_gateway_says_twice_is_told_once() {
    let upstream = Upstream::start().await;
    let app = App::start(&upstream).await;
    let events = hello();
    let twice = |at: usize| [&events[..=at], &events[at..]].concat();
    let start_later = [&events[..4], &events[..1], &events[4..]].concat();
    let with_ping = [&events[..2], &[sse::ping()], &events[1..]].concat();
    for (number, (body, bytes)) in [
        (twice(0), Some(events.clone())),
        (start_later, Some(events.clone())),
        (twice(1), Some(events.clone())),
        (with_ping, None),
        // The end of a block, and of the message: they say nothing the second time.
        (twice(4), Some(events.clone())),
        (twice(6), Some(events.clone())),
    ]
    .into_iter()
    .enumerate()
    {
        for pieces in [body.clone(), vec![body.concat()]] {
            for (path, streams) in ways() {
                upstream.push(Script::sse(pieces.clone()));
                let client = app.client().header("cache-control", "no-cache");
                let reply = client.post(path, &question("hi", streams)).await;
                assert_eq!(reply.status.as_u16(), 200, "{number}");
                if (path, streams) == (MESSAGES, true) {
                    let told = reply.text().await;
                    if let Some(bytes) = &bytes {
                        assert_eq!(told, bytes.concat(), "{number}");
                    }
                } else {
                    assert_eq!(text_of(path, streams, reply).await, "Hello", "{number}");
                }
            }
        }
    }
    assert!(
        app.ledger().exchanges().await.iter().all(|it| it.outcome == "complete" && it.servable)
    );
}
