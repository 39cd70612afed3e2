//! The table of design §5 and the sentences of §13, once more and as plainly as possible: a list of all calls, a list of
//! all answers, and what runs. No index, no lock, no cache, and nothing of the program's own code.

/// One call. Small numbers stand for ids, so that they often meet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) kind: Kind,
    pub(super) user: Option<&'static str>,
    pub(super) chat: Option<&'static str>,
    pub(super) message: Option<&'static str>,
    pub(super) user_message: Option<&'static str>,
    pub(super) prompt: &'static str,
    pub(super) control: &'static str,
    pub(super) streams: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A chat of Open WebUI.
    Chat,
    /// A background call of it.
    Title,
    Tags,
    /// A chat of an Open WebUI that sends no ids but the user's.
    Nameless,
    /// Another client.
    Plain,
}

/// The operator's settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) cache: &'static str,
    pub(super) scope: &'static str,
}

/// The user of whom nothing is kept.
pub(super) const FORGOTTEN: &str = "eve";

/// Source of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// An answer in the ledger, with this text.
    Ledger(String),
    /// The exchange of this number.
    Running(usize),
    /// A new exchange, with this in `Cache-Status`.
    Upstream(&'static str),
    /// 504.
    None,
}

/// All that can change the answer, and who may see it.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    scope: (Option<&'static str>, Option<&'static str>),
    kind: Kind,
    prompt: &'static str,
}

/// A call that was made.
#[derive(Debug)]
struct Past {
    call: Call,
    /// `None` after a restart if nothing of its request was kept.
    key: Option<Key>,
    scope: (Option<&'static str>, Option<&'static str>),
    /// Refused without a look upstream; the ledger has no row of it.
    refused: bool,
    /// The exchange that answers it.
    exchange: Option<usize>,
    whole: bool,
}

/// An exchange that runs.
#[derive(Debug)]
struct Running {
    exchange: usize,
    key: Key,
    call: Call,
    kept: bool,
}

/// An answer that may be served.
#[derive(Debug)]
struct Stored {
    key: Key,
    /// The user who asked for it, else the chat.
    requester: (Option<&'static str>, Option<&'static str>),
    text: String,
}

#[derive(Debug)]
pub(super) struct Spec {
    settings: Settings,
    calls: Vec<Past>,
    running: Vec<Running>,
    answers: Vec<Stored>,
    exchanges: usize,
}

impl Spec {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, calls: Vec::new(), running: Vec::new(), answers: Vec::new(), exchanges: 0 }
    }

    /// A call comes in. One that asks upstream runs until [`Self::end`].
    pub(super) fn call(&mut self, call: &Call) -> Source {
        let (scope, key) = (self.scope(call), self.key(call));
        let source = match self.source(call, &key) {
            Source::Upstream(_) if call.says("only-if-cached") => Source::None,
            source => source,
        };
        let exchange = match source {
            Source::Upstream(_) => {
                let kept = call.is_kept();
                let (key, call) = (key.clone(), call.clone());
                self.running.push(Running { exchange: self.exchanges, key, call, kept });
                self.exchanges += 1;
                Some(self.exchanges - 1)
            }
            Source::Running(exchange) => Some(exchange),
            Source::Ledger(_) | Source::None => None,
        };
        self.calls.push(Past {
            call: call.clone(),
            key: Some(key),
            scope,
            refused: source == Source::None,
            exchange,
            whole: matches!(source, Source::Ledger(_)),
        });
        source
    }

    fn source(&self, call: &Call, key: &Key) -> Source {
        let Settings { cache, .. } = self.settings;
        let task = matches!(call.kind, Kind::Title | Kind::Tags);
        if call.says("no-store") {
            return Source::Upstream("fwd=bypass; detail=no-store");
        }
        if call.is_temporary() {
            return Source::Upstream("fwd=bypass; detail=temporary");
        }
        if call.user == Some(FORGOTTEN) {
            return Source::Upstream("fwd=bypass; detail=user-no-store");
        }
        if call.says("no-cache") {
            return Source::Upstream("fwd=request; stored; detail=no-cache");
        }
        if cache == "off" || cache == "tasks" && !task {
            return Source::Upstream("fwd=bypass; stored; detail=cache-off");
        }
        let stored = self.stored(call, key);
        if !call.says("only-if-cached") {
            let before = self.earlier(call, key);
            let anew = Source::Upstream("fwd=request; stored; detail=asked-before");
            let is_other =
                |past: &&Past| call.message.is_none() || past.call.message != call.message;
            match call.kind {
                Kind::Chat if before.iter().any(is_other) => return anew,
                Kind::Nameless => {
                    return Source::Upstream("fwd=request; stored; detail=no-chat-id");
                }
                _ => {}
            }
            if let Some(exchange) = self.joinable(call, key) {
                return Source::Running(exchange);
            }
            match call.kind {
                Kind::Chat if !before.is_empty() && !before.iter().any(|past| past.whole) => {
                    return anew;
                }
                Kind::Title if !before.is_empty() && stored.is_some() => return anew,
                _ => {}
            }
        }
        match stored {
            None => Source::Upstream("fwd=miss; stored"),
            Some(_) if call.says("max-age=0") => {
                Source::Upstream("fwd=request; stored; detail=max-age")
            }
            Some(_) if call.says("min-fresh=99999999") => {
                Source::Upstream("fwd=request; stored; detail=min-fresh")
            }
            Some(answer) => Source::Ledger(answer.text.clone()),
        }
    }

    /// The newest answer in a scope of one's own. Where all share one: the newest that the same user asked for, or the
    /// same chat of nobody, else the first there was.
    fn stored(&self, call: &Call, key: &Key) -> Option<&Stored> {
        let mut answers = self.answers.iter().filter(|answer| answer.key == *key);
        if self.settings.scope == "user" {
            return answers.next_back();
        }
        let own = answers.clone().rfind(|answer| answer.requester == call.requester());
        own.or_else(|| answers.next())
    }

    /// Calls of the same chat for the same, and calls for another answer to the same message of the user, wherever it
    /// lies.
    fn earlier(&self, call: &Call, key: &Key) -> Vec<&Past> {
        if call.chat.is_none() || !matches!(call.kind, Kind::Chat | Kind::Title) {
            return Vec::new();
        }
        let is_earlier = |past: &&Past| {
            let same = past.call.chat == call.chat && past.key.as_ref() == Some(key);
            let another = call.kind == Kind::Chat
                && past.call.kind == Kind::Chat
                && call.user_message.is_some()
                && past.call.user_message == call.user_message
                && past.scope == self.scope(call)
                && (call.message.is_none() || past.call.message != call.message);
            !past.call.is_temporary() && (same || another)
        };
        self.calls.iter().filter(is_earlier).collect()
    }

    /// The newest exchange for the same that others may join, if it still runs.
    fn joinable(&self, call: &Call, key: &Key) -> Option<usize> {
        let is_chat = call.kind == Kind::Chat;
        if is_chat && call.message.is_none() {
            return None;
        }
        let fits = |running: &&Running| {
            running.kept
                && running.key == *key
                && (!is_chat
                    || (running.call.chat, running.call.message) == (call.chat, call.message))
        };
        self.running.iter().rfind(fits).map(|running| running.exchange)
    }

    /// An exchange ends; `answer` if it is whole, `servable` if it answers others.
    pub(super) fn end(&mut self, exchange: usize, answer: Option<&str>, servable: bool) {
        let position = self.running.iter().position(|running| running.exchange == exchange);
        let Running { key, kept, call, .. } = self.running.remove(position.expect("it runs"));
        if let Some(text) = answer {
            // Of an answer of which nothing is kept, nobody knows afterwards that it was whole.
            for past in self.calls.iter_mut().filter(|past| past.exchange == Some(exchange)) {
                past.whole = kept;
            }
            if servable && kept {
                let (requester, text) = (call.requester(), text.to_owned());
                self.answers.push(Stored { key, requester, text });
            }
        }
    }

    /// The process ends, by a signal or without warning, and another one takes the ledger.
    pub(super) fn restart(&mut self) {
        self.running.clear();
        self.calls.retain(|past| !past.refused);
        for past in &mut self.calls {
            let kept = past.call.is_kept();
            past.key = past.key.take().filter(|_| kept);
        }
    }

    pub(super) fn clear(&mut self) {
        self.answers.clear();
    }

    /// The user, else the chat, else everybody.
    fn scope(&self, call: &Call) -> (Option<&'static str>, Option<&'static str>) {
        match self.settings.scope {
            "shared" => (None, None),
            _ => call.requester(),
        }
    }

    fn key(&self, call: &Call) -> Key {
        Key { scope: self.scope(call), kind: call.kind, prompt: call.prompt }
    }
}

impl Call {
    pub(super) fn says(&self, directive: &str) -> bool {
        self.control.split(", ").any(|said| said == directive)
    }

    /// The user, else the chat.
    fn requester(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self.user {
            Some(user) => (Some(user), None),
            None => (None, self.chat),
        }
    }

    /// Neither the client nor the operator forbids to keep it.
    fn is_kept(&self) -> bool {
        !self.says("no-store") && !self.is_temporary() && self.user != Some(FORGOTTEN)
    }

    fn is_temporary(&self) -> bool {
        self.chat.is_some_and(|chat| chat.starts_with("temporary:"))
    }
}
