//! A Rust source as the rules see it: code, strings and comments told apart, paths taken out of their trees.
//!
//! Not a parser: it knows just so much of Rust that a comment, a string or a test module breaks no rule, and that no
//! `use` hides what it names.

use std::{fs, path::Path};

/// One file.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) file: String,
    /// As it is written.
    pub(crate) text: String,
    /// Each character and what it belongs to; in tests everything is a comment.
    chars: Vec<(char, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Quoted,
    Comment,
}

/// What the paths of a file are made of.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Name(String),
    Colons,
    Open,
    Close,
    Comma,
    Other,
}

impl Source {
    pub(crate) fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        let (file, text) = (file.into(), text.into());
        let mut chars = kinds(&text);
        leave_tests_out(&mut chars);
        Self { file, text, chars }
    }

    /// Line by line, without comments and without what is in strings.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        self.lines(|kind| kind == Kind::Code)
    }

    /// Line by line, without comments.
    pub(crate) fn code_and_strings(&self) -> Vec<(usize, String)> {
        self.lines(|kind| kind != Kind::Comment)
    }

    /// What is in strings, and where each begins.
    pub(crate) fn strings(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = Vec::new();
        let (mut line, mut inside) = (1, false);
        for &(c, kind) in &self.chars {
            match (kind == Kind::Quoted, inside) {
                (true, true) => found.last_mut().expect("it has begun").1.push(c),
                (true, false) => found.push((line, c.to_string())),
                (false, _) => {}
            }
            inside = kind == Kind::Quoted;
            line += usize::from(c == '\n');
        }
        found
    }

    /// Every path that is named, each arm of a `use` tree by itself, from the root of the crate where it is known.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = self.tokens();
        let mut found = Vec::new();
        // The trees that are open: what stands before each of their arms.
        let mut trees: Vec<Option<Vec<String>>> = Vec::new();
        let mut at = 0;
        while let Some((line, token)) = tokens.get(at) {
            at += 1;
            match token {
                Token::Name(word) if word == "mod" => at += 1,
                Token::Name(first) => {
                    let outer = trees.iter().flatten().next_back().cloned();
                    let mut path = outer.unwrap_or_default();
                    path.push(first.clone());
                    while let (Some((_, Token::Colons)), Some((_, Token::Name(next)))) =
                        (tokens.get(at), tokens.get(at + 1))
                    {
                        path.push(next.clone());
                        at += 2;
                    }
                    if let (Some((_, Token::Colons)), Some((_, Token::Open))) =
                        (tokens.get(at), tokens.get(at + 1))
                    {
                        trees.push(Some(path));
                        at += 2;
                    } else {
                        found.push((*line, self.resolve(path)));
                    }
                }
                Token::Open => trees.push(None),
                Token::Close => drop(trees.pop()),
                Token::Colons | Token::Comma | Token::Other => {}
            }
        }
        found
    }

    /// The module that the file is, from the root of the crate.
    pub(crate) fn module(&self) -> Vec<String> {
        let module = self.file.trim_start_matches("src/").trim_end_matches(".rs");
        let mut path = vec!["crate".to_owned()];
        if !matches!(module, "lib" | "main") {
            path.extend(module.split('/').map(str::to_owned));
        }
        path
    }

    /// Keyword, name and line of every item that the file defines, also inside functions and `impl` blocks.
    pub(crate) fn items(&self) -> Vec<(usize, String, String)> {
        const KEYWORDS: &[&str] =
            &["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];
        let mut items = Vec::new();
        let tokens = self.tokens();
        for (at, (line, token)) in tokens.iter().enumerate() {
            let Token::Name(keyword) = token else { continue };
            let rest = tokens[at + 1..].iter().map(|(_, token)| token);
            // The `!` of `macro_rules! name`.
            let name = rest.skip_while(|token| keyword == "macro_rules" && **token == Token::Other);
            if let (true, Some(Token::Name(name))) =
                (KEYWORDS.contains(&keyword.as_str()), name.into_iter().next())
            {
                items.push((*line, keyword.clone(), name.clone()));
            }
        }
        items
    }

    fn tokens(&self) -> Vec<(usize, Token)> {
        let mut tokens: Vec<(usize, Token)> = Vec::new();
        let (mut line, mut before) = (1, ' ');
        for &(c, kind) in &self.chars {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            match c {
                _ if kind != Kind::Code => {}
                c if word(c) => match tokens.last_mut() {
                    Some((_, Token::Name(name))) if word(before) => name.push(c),
                    _ => tokens.push((line, Token::Name(c.to_string()))),
                },
                ':' if before == ':' => {
                    tokens.pop();
                    tokens.push((line, Token::Colons));
                }
                '{' => tokens.push((line, Token::Open)),
                '}' => tokens.push((line, Token::Close)),
                ',' => tokens.push((line, Token::Comma)),
                c if c.is_whitespace() => {}
                _ => tokens.push((line, Token::Other)),
            }
            before = if kind == Kind::Code { c } else { ' ' };
            line += usize::from(c == '\n');
        }
        tokens
    }

    /// `self` and `super` mean what they mean in this file.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let mut base = self.module();
        let mut rest = path.into_iter().peekable();
        if !matches!(rest.peek().map(String::as_str), Some("self" | "super")) {
            return rest.collect();
        }
        while let Some(step) = rest.next_if(|step| step == "self" || step == "super") {
            if step == "super" {
                base.pop();
            }
        }
        base.extend(rest);
        base
    }

    fn lines(&self, keep: impl Fn(Kind) -> bool) -> Vec<(usize, String)> {
        let kept: String = self
            .chars
            .iter()
            .map(|&(c, kind)| if c == '\n' || keep(kind) { c } else { ' ' })
            .collect();
        (1..).zip(kept.lines().map(str::to_owned)).collect()
    }
}

/// What each character belongs to. The quotes themselves are code.
fn kinds(text: &str) -> Vec<(char, Kind)> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| {
        what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c))
    };
    let mut kinds = vec![Kind::Code; chars.len()];
    let mut fill = |from: usize, to: usize, kind| {
        let to = to.min(chars.len());
        kinds[from.min(to)..to].fill(kind);
        to
    };
    let mut at = 0;
    while at < chars.len() {
        let after_a_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        at = match chars[at] {
            '/' if starts(at, "//") => {
                let end = (at..chars.len()).find(|&end| chars[end] == '\n');
                fill(at, end.unwrap_or(chars.len()), Kind::Comment)
            }
            '/' if starts(at, "/*") => {
                let end = (at + 2..chars.len()).find(|&end| starts(end, "*/"));
                fill(at, end.map_or(chars.len(), |end| end + 2), Kind::Comment)
            }
            'r' if !after_a_word || chars[at - 1] == 'b' => {
                let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
                let begin = at + 1 + hashes;
                if starts(begin, "\"") {
                    let close = format!("\"{}", "#".repeat(hashes));
                    let end = (begin + 1..chars.len()).find(|&end| starts(end, &close));
                    fill(begin + 1, end.unwrap_or(chars.len()), Kind::Quoted) + 1 + hashes
                } else {
                    at + 1
                }
            }
            '"' => {
                let mut end = at + 1;
                while end < chars.len() && chars[end] != '"' {
                    end += if chars[end] == '\\' { 2 } else { 1 };
                }
                fill(at + 1, end, Kind::Quoted) + 1
            }
            '\'' if starts(at + 1, "\\") => {
                let end = (at + 3..chars.len()).find(|&end| chars[end] == '\'');
                fill(at + 1, end.unwrap_or(chars.len()), Kind::Quoted) + 1
            }
            // Anything else is a lifetime.
            '\'' if starts(at + 2, "'") => fill(at + 1, at + 2, Kind::Quoted) + 1,
            _ => at + 1,
        };
    }
    chars.into_iter().zip(kinds).collect()
}

/// An item that is only there for tests: up to its closing brace, or to the semicolon of one that has none.
fn leave_tests_out(chars: &mut [(char, Kind)]) {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut at = 0;
    while at < chars.len() {
        let here = chars[at..].iter().map(|&(c, _)| c);
        if chars[at].1 != Kind::Code || !ATTRIBUTE.chars().eq(here.take(ATTRIBUTE.len())) {
            at += 1;
            continue;
        }
        let mut open = 0_usize;
        for (c, kind) in &mut chars[at..] {
            at += 1;
            let ends = match (*kind, *c) {
                (Kind::Code, '{') => {
                    open += 1;
                    false
                }
                (Kind::Code, '}') => {
                    open = open.saturating_sub(1);
                    open == 0
                }
                (Kind::Code, ';') => open == 0,
                _ => false,
            };
            *kind = Kind::Comment;
            if ends {
                break;
            }
        }
    }
}

/// Every Rust file of the program and its tests.
pub(crate) fn sources() -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let file = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push(Source::new(file, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        walk(&root.join(folder), root, &mut found);
    }
    assert!(found.iter().any(|source| source.file == "src/lib.rs"), "the sources are not there");
    found
}

/// The texts of the program's files.
pub(crate) fn texts() -> Vec<String> {
    let ours = sources().into_iter().filter(|source| source.file.starts_with("src/"));
    ours.map(|source| source.text).collect()
}
