//! The cache directives of a request.

/// The directives of a request's `Cache-Control` header (RFC 9111 §5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheDirectives {
    /// Send the request upstream, and store no bodies.
    pub no_store: bool,
    /// Send the request upstream, and store the answer.
    pub no_cache: bool,
    /// Do not send the request upstream.
    pub only_if_cached: bool,
    /// Age in seconds from which an answer is too old.
    pub max_age: Option<u64>,
    /// Minimum remaining lifetime of an answer, in seconds.
    pub min_fresh: Option<u64>,
}

impl CacheDirectives {
    /// Parses the header's value. Unknown directives are ignored, as the RFC requires.
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

/// A number of seconds, quoted or not; one that is too large saturates (RFC 9111 §1.2.2).
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
        let read = CacheDirectives::parse;
        let all =
            read(r#" No-Store, max-age="60" ,no-transform,ONLY-IF-CACHED, no-cache, min-fresh=5"#);
        let expected = CacheDirectives {
            no_store: true,
            no_cache: true,
            only_if_cached: true,
            max_age: Some(60),
            min_fresh: Some(5),
        };
        assert_eq!(all, expected);
        assert_eq!(read("max-age=99999999999999999999").max_age, Some(u64::MAX));
        for nonsense in ["", "max-age", "max-age=-1", "max-age=soon", "private, max-stale"] {
            assert_eq!(read(nonsense), CacheDirectives::default(), "{nonsense}");
        }
    }
}
