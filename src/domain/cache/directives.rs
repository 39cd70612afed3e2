//! What a request says of caching.

/// What a request says in `Cache-Control` (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    /// Ask, and keep no bodies.
    pub no_store: bool,
    /// Ask, and keep the answer.
    pub no_cache: bool,
    /// Do not ask.
    pub only_if_cached: bool,
    /// Nothing that is this many seconds old, or older.
    pub max_age: Option<u64>,
    /// Nothing that may be served for less than this many seconds more.
    pub min_fresh: Option<u64>,
}

impl Directives {
    /// Reads the header's value. What is not known is ignored, as the RFC asks.
    pub fn parse(value: &str) -> Self {
        let mut directives = Self::default();
        for directive in value.split(',').map(str::trim) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => directives.no_store = true,
                "no-cache" => directives.no_cache = true,
                "only-if-cached" => directives.only_if_cached = true,
                "max-age" => directives.max_age = seconds(argument),
                "min-fresh" => directives.min_fresh = seconds(argument),
                _ => {}
            }
        }
        directives
    }
}

/// Seconds, quoted or not. More than fit are as many as fit (RFC 9111 §1.2.2).
fn seconds(argument: &str) -> Option<u64> {
    let digits = argument.trim().trim_matches('"');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_case_and_order_and_unknown_ones_ignored() {
        let read = Directives::parse;
        let all =
            read(r#" No-Store, max-age="60" ,no-transform,ONLY-IF-CACHED, no-cache, min-fresh=5"#);
        let expected = Directives {
            no_store: true,
            no_cache: true,
            only_if_cached: true,
            max_age: Some(60),
            min_fresh: Some(5),
        };
        assert_eq!(all, expected);
        assert_eq!(read("max-age=99999999999999999999").max_age, Some(u64::MAX));
        for nonsense in ["", "max-age", "max-age=-1", "max-age=soon", "private, max-stale"] {
            assert_eq!(read(nonsense), Directives::default(), "{nonsense}");
        }
    }
}
