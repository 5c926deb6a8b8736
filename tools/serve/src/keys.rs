//! API keys.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use pipeline::ConfigError;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The environment variable with the keys.
const VARIABLE: &str = "DISRANKER_API_KEYS";

/// The keys of which a request must have one; without any, none is asked for. Only their digests are kept.
pub(crate) struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// # Errors
    /// [`ConfigError`] for a variable without keys, or with an empty one.
    pub(crate) fn of_environment() -> Result<Keys, ConfigError> {
        let bad = |found: &str| {
            Err(ConfigError::Unusable(format!(
                "{VARIABLE}: expected keys with commas between, found {found}; remove the variable to ask for no key"
            )))
        };
        let Some(keys) = std::env::var_os(VARIABLE) else { return Ok(Keys(Vec::new())) };
        let Some(keys) = keys.to_str() else { return bad("bytes that are no UTF-8") };
        let keys: Vec<&str> = keys.split(',').map(str::trim).collect();
        if keys.contains(&"") {
            return bad("an empty key");
        }
        Ok(Keys(keys.into_iter().map(digest).collect()))
    }

    /// True if the request has one of the keys. The time it takes does not depend on the keys: digests of equal length are
    /// compared, all of them, in constant time.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let given = digest(given.unwrap_or_default());
        let known = self.0.iter().fold(Choice::from(0), |known, key| known | key.ct_eq(&given));
        known.into()
    }
}

/// The token of `Bearer <token>`; the scheme's letters may be of either case.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_keys_is_asked_for() {
        let keys = Keys(vec![digest("first"), digest("second")]);
        let admitted = |value: &str| keys.admit(&HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]));
        assert!(admitted("Bearer first") && admitted("bearer  second"));
        for refused in ["Bearer third", "Bearer ", "first", "Basic first", "Bearer first,second", ""] {
            assert!(!admitted(refused), "{refused}");
        }
        assert!(!keys.admit(&HeaderMap::new()) && Keys(Vec::new()).admit(&HeaderMap::new()));
    }
}
