//! The headers of a Messages API request that can change its answer (`reference/anthropic-api.md` §6).

use super::Version;

/// `anthropic-version`, `anthropic-beta`, and other headers that are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiHeaders {
    version: String,
    /// As the wire has it: the order of betas is the client's own.
    betas: String,
    others: Vec<(&'static str, String)>,
}

impl ApiHeaders {
    /// Headers of this version. Each of `betas` is one beta, or a list with commas, as the value of a header is.
    pub fn new(
        version: impl Into<String>,
        betas: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let mut joined = String::new();
        for value in betas {
            let value = value.as_ref();
            if !joined.is_empty() && !value.is_empty() {
                joined.push(',');
            }
            joined.push_str(value);
        }
        Self { version: version.into(), betas: joined, others: Vec::new() }
    }

    /// The same headers with `others`, which come in the order of their names.
    #[must_use]
    pub fn with_others(self, others: Vec<(&'static str, String)>) -> Self {
        Self { others, ..self }
    }

    /// The value of `anthropic-version`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The value of `anthropic-beta` as it goes on the wire; empty for none.
    pub fn wire_betas(&self) -> &str {
        &self.betas
    }

    /// The betas, trimmed, sorted, each once.
    pub fn betas(&self) -> Vec<&str> {
        let betas = self.betas.split(',').map(str::trim);
        let mut betas: Vec<&str> = betas.filter(|beta| !beta.is_empty()).collect();
        betas.sort_unstable();
        betas.dedup();
        betas
    }

    /// Names and values of the other headers.
    pub fn others(&self) -> &[(&'static str, String)] {
        &self.others
    }

    /// Everything but the version as a part of a key: the same text, in whatever order a client sends its betas.
    pub fn features(&self) -> String {
        let mut features = self.betas().join(",");
        for (name, value) in &self.others {
            // No header has a line feed in it.
            features.push('\n');
            features.extend([name, ": ", value]);
        }
        features
    }

    /// The headers as a fixture keeps them: sorted betas, no others.
    #[must_use]
    pub fn normalized(&self) -> Self {
        Self::new(&*self.version, self.betas())
    }
}

impl Default for ApiHeaders {
    /// The current version, without betas.
    fn default() -> Self {
        Self::new(Version::default().as_str(), [""; 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_has_the_order_of_the_client_and_keys_and_fixtures_have_their_own() {
        let headers = ApiHeaders::new("1", ["b, a", "", "c,a"]);
        assert_eq!(headers.wire_betas(), "b, a,c,a");
        assert_eq!(headers.betas(), ["a", "b", "c"]);
        assert_eq!(headers.normalized(), ApiHeaders::new("1", ["a", "b", "c"]));
        let with_others = headers.clone().with_others(vec![("x", "y".to_owned())]);
        assert_eq!(with_others.features(), "a,b,c\nx: y");
        assert_eq!(with_others.normalized(), headers.normalized());
        assert_eq!(ApiHeaders::default().features(), "");
    }
}
