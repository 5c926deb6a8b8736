//! The configuration of a pool of servers.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::Uri;

use crate::error::Error;

/// Documents of a request if `batch` is not given: what text-embeddings-inference accepts unless told otherwise.
const BATCH: usize = 32;

/// Servers that answer the same requests, and how they are asked.
// What changes no score is not serialised: scores that were made with another timeout stay valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// What the servers understand.
    pub api: Api,
    /// URLs of the servers, at least one. A path is kept: `https://api.cohere.com/v2` is asked at `/v2/rerank`,
    /// `http://gpu1:8000/v1` at `/v1/chat/completions`; a URL that ends in the path of its API is taken as it is.
    pub addresses: Vec<String>,
    /// Name of the model, sent with every request; not with `tei`, whose servers have one model. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Requests that one server works on at once, 1 to 1024.
    #[serde(default = "concurrency", skip_serializing)]
    pub concurrency: usize,
    /// Documents per request, 32 if not given; not with `chat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Seconds until a request counts as failed, connecting included, up to a day.
    #[serde(default = "timeout_seconds", skip_serializing)]
    pub timeout_seconds: f64,
    /// How often a failed request is repeated if the reason may pass (status 408, 425, 429 or 5xx, no connection, no answer in
    /// time). A server that fails this often and once more in a row is left out and the others do its work.
    #[serde(default = "retries", skip_serializing)]
    pub retries: u32,
    /// Seconds that a server is left alone after a failure, 0 to 60; doubled with each failure in a row, up to 60. A longer wait
    /// that the server asks for (`Retry-After`) is kept, up to an hour.
    #[serde(default = "backoff_seconds", skip_serializing)]
    pub backoff_seconds: f64,
    /// Environment variable with the key that is sent as `Authorization: Bearer`. No key is sent if not given.
    #[serde(default, skip_serializing)]
    pub key_env: Option<String>,
    /// More fields of every request, such as `truncate_prompt_tokens = -1` (vLLM cuts long texts) or
    /// `chat_template_kwargs = { enable_thinking = false }`. They replace `truncate`, `temperature` and `max_tokens`, but no other
    /// field that disranker sends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Value>,
}

/// What a server understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `POST /rerank` of text-embeddings-inference: raw scores, long texts cut by the server.
    Tei,
    /// `POST /rerank` of vLLM, Cohere (versions 1 and 2), Jina, infinity, llama.cpp: relevance scores as the server scales them,
    /// often from 0 to 1; infinity gives logits with `extra = { raw_scores = true }`.
    Rerank,
    /// `POST /score` of vLLM: the query against each document.
    VllmScore,
    /// `POST /v1/chat/completions` of OpenAI, vLLM, llama.cpp and others: a language model that is asked by a prompt.
    Chat,
}

fn concurrency() -> usize {
    4
}

fn timeout_seconds() -> f64 {
    60.0
}

fn retries() -> u32 {
    5
}

fn backoff_seconds() -> f64 {
    1.0
}

impl Api {
    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Api::Tei => "tei",
            Api::Rerank => "rerank",
            Api::VllmScore => "vllm_score",
            Api::Chat => "chat",
        }
    }

    /// The start of the path that addresses may have or lack, and the rest of it.
    fn path(self) -> (&'static str, &'static str) {
        match self {
            Api::Tei | Api::Rerank => ("", "/rerank"),
            Api::VllmScore => ("", "/score"),
            Api::Chat => ("/v1", "/chat/completions"),
        }
    }

    /// The fields of its requests that `extra` cannot replace.
    fn own_fields(self) -> &'static [&'static str] {
        match self {
            Api::Tei => &["query", "texts", "raw_scores"],
            Api::Rerank => &["model", "query", "documents", "top_n"],
            Api::VllmScore => &["model", "text_1", "text_2"],
            Api::Chat => &["model", "messages", "logprobs", "top_logprobs", "stream", "n"],
        }
    }
}

impl PoolConfig {
    /// Who answers: the model, or the addresses of a model without a name.
    #[must_use]
    pub fn name(&self) -> String {
        self.model.clone().unwrap_or_else(|| self.addresses.join(" "))
    }

    /// The defaults, for these servers.
    #[must_use]
    pub fn new(api: Api, addresses: Vec<String>) -> PoolConfig {
        PoolConfig {
            api,
            addresses,
            model: None,
            concurrency: concurrency(),
            batch: None,
            timeout_seconds: timeout_seconds(),
            retries: retries(),
            backoff_seconds: backoff_seconds(),
            key_env: None,
            extra: BTreeMap::new(),
        }
    }

    /// Looks at all values, without asking a server or reading the environment.
    ///
    /// # Errors
    /// [`Error::Config`] names the first key that cannot be used.
    pub fn check(&self) -> Result<(), Error> {
        require((1..=1024).contains(&self.concurrency), "concurrency", "1 to 1024", self.concurrency)?;
        let timeout = self.timeout_seconds;
        require(timeout > 0.0 && timeout <= 86_400.0, "timeout_seconds", "more than 0 and at most 86400", timeout)?;
        require((0.0..=60.0).contains(&self.backoff_seconds), "backoff_seconds", "0 to 60", self.backoff_seconds)?;
        if let Some(batch) = self.batch {
            require(self.api != Api::Chat, "batch", "no value, as `chat` asks for one prompt a request", batch)?;
            require(batch > 0, "batch", "at least 1", batch)?;
        }
        if let Some(model) = &self.model {
            require(self.api != Api::Tei, "model", "no value, as servers of `tei` have one model", model)?;
            require(!model.trim().is_empty(), "model", "a name", "an empty text")?;
        }
        for field in self.extra.keys() {
            let own = self.api.own_fields().contains(&field.as_str());
            require(!own, "extra", "fields that disranker does not send itself", field)?;
        }
        self.urls().map(drop)
    }

    pub(crate) fn batch(&self) -> usize {
        self.batch.unwrap_or(BATCH)
    }

    /// The URLs to ask, one per server.
    pub(crate) fn urls(&self) -> Result<Vec<Url>, Error> {
        require(!self.addresses.is_empty(), "addresses", "at least one URL", "none")?;
        let urls =
            self.addresses.iter().map(|address| Url::read(address, self.api)).collect::<Result<Vec<Url>, _>>()?;
        for (place, url) in urls.iter().enumerate() {
            let again = urls[..place].contains(url);
            require(!again, "addresses", "each server once (`concurrency` gives it more requests)", &url.name)?;
        }
        Ok(urls)
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout_seconds).unwrap_or(Duration::MAX)
    }

    pub(crate) fn backoff(&self) -> Duration {
        Duration::try_from_secs_f64(self.backoff_seconds).unwrap_or_default()
    }
}

/// Where a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// The whole URL.
    pub(crate) whole: String,
    /// The URL without its parameters, which may be secret.
    pub(crate) name: String,
    /// True if the server is on this machine.
    pub(crate) is_local: bool,
}

impl Url {
    fn read(address: &str, api: Api) -> Result<Url, Error> {
        // What stands before an @ may be a password and is not shown.
        let shown = address.rsplit('@').next().unwrap_or_default();
        let bad = || bad("addresses", "URLs such as http://host:8000", format!("{shown:?}"));
        let uri: Uri = address.trim().parse().map_err(|_| bad())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(bad());
        };
        let has_user = authority.as_str().contains('@');
        require(!has_user, "addresses", "URLs without user and password (`key_env` names a key)", shown)?;
        let (start, rest) = api.path();
        let path = uri.path().trim_end_matches('/');
        let path = match path {
            whole if whole.ends_with(rest) => whole.to_string(),
            started if !start.is_empty() && started.ends_with(start) => format!("{started}{rest}"),
            base => format!("{base}{start}{rest}"),
        };
        let name = format!("{scheme}://{authority}{path}");
        let whole = uri.query().map_or_else(|| name.clone(), |query| format!("{name}?{query}"));
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        Ok(Url { whole, name, is_local: is_loopback || host == "localhost" })
    }
}

/// An error about a key unless the condition holds.
pub(crate) fn require(holds: bool, key: &'static str, expected: &str, found: impl ToString) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(bad(key, expected, found.to_string())) }
}

fn bad(key: &'static str, expected: &str, found: String) -> Error {
    Error::Config { key, expected: expected.into(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_addresses_are_kept() {
        let url = |address: &str, api| Url::read(address, api).unwrap().whole;
        for (api, address, whole) in [
            (Api::Tei, "http://gpu1:8080", "http://gpu1:8080/rerank"),
            (Api::Tei, "http://gpu1:8080/rerank/", "http://gpu1:8080/rerank"),
            (Api::Rerank, "https://api.cohere.com/v2", "https://api.cohere.com/v2/rerank"),
            (Api::Rerank, "https://api.jina.ai/v1/rerank", "https://api.jina.ai/v1/rerank"),
            (Api::VllmScore, "http://[::1]:8000/proxy/", "http://[::1]:8000/proxy/score"),
            (Api::Chat, "http://gpu1:8000", "http://gpu1:8000/v1/chat/completions"),
            (Api::Chat, "http://gpu1:8000/v1/", "http://gpu1:8000/v1/chat/completions"),
            (Api::Chat, "https://host/v1beta/openai/chat/completions", "https://host/v1beta/openai/chat/completions"),
            (Api::Chat, "https://host/models/v1?version=2", "https://host/models/v1/chat/completions?version=2"),
        ] {
            assert_eq!(url(address, api), whole);
        }
        assert_eq!(Url::read("http://host?key=secret", Api::Tei).unwrap().name, "http://host/rerank");
    }

    #[test]
    fn bad_values_are_refused_by_name() {
        let message = |change: fn(&mut PoolConfig)| {
            let mut config = PoolConfig::new(Api::Chat, vec!["http://host".into()]);
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        let url = "addresses: expected URLs such as http://host:8000, found";
        assert!(message(|config| config.addresses = vec!["host:8000".into()]).starts_with(url));
        assert!(message(|config| config.addresses = vec!["ftp://host".into()]).starts_with(url));
        assert!(message(|config| config.addresses.clear()).contains("at least one URL, found none"));
        let user = message(|config| config.addresses = vec!["http://me:secret@host".into()]);
        assert!(user.contains("key_env") && !user.contains("secret"), "{user}");
        assert!(message(|config| config.addresses.push("http://host/v1".into())).contains("each server once"));
        assert!(message(|config| config.concurrency = 0).starts_with("concurrency: expected 1 to 1024, found 0"));
        assert!(message(|config| config.timeout_seconds = f64::NAN).starts_with("timeout_seconds:"));
        assert!(message(|config| config.backoff_seconds = -1.0).starts_with("backoff_seconds:"));
        assert!(message(|config| config.batch = Some(3)).starts_with("batch:"));
        assert!(message(|config| drop(config.extra.insert("messages".into(), Value::Null))).starts_with("extra:"));
        assert!(message(|config| (config.api, config.model) = (Api::Tei, Some("m".into()))).starts_with("model:"));
    }

    #[test]
    fn defaults_are_those_of_the_schema_and_unknown_keys_are_refused() {
        let json = r#"{"api": "vllm_score", "addresses": ["http://host"]}"#;
        let read: PoolConfig = serde_json::from_str(json).unwrap();
        assert_eq!(read, PoolConfig::new(Api::VllmScore, vec!["http://host".into()]));
        assert_eq!(serde_json::to_value(read.api).unwrap(), read.api.name());
        let unknown = serde_json::from_str::<PoolConfig>(r#"{"api": "tei", "addresses": [], "adresses": []}"#);
        assert!(unknown.unwrap_err().to_string().contains("adresses"));
    }
}
