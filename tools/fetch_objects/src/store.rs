//! The store of a URL, with credentials and endpoint from the environment, and what its errors mean.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{CredentialProvider, ObjectStore};
use objects::ObjectUrl;

use crate::failure::Failure;

/// How long credentials may take where a server of the network or the machine has them.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most characters of a store's answer that an error shows.
const SHOWN: usize = 300;

/// A bucket of a store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) client: Arc<dyn ObjectStore>,
    /// Where credentials come from, for messages.
    credentials: &'static str,
}

/// The variables that S3 is read with.
const S3: &str = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for a public bucket AWS_SKIP_SIGNATURE=true)";
/// The variables that Google Cloud Storage is read with.
const GS: &str = "GOOGLE_SERVICE_ACCOUNT, the path of its JSON file (for a public bucket GOOGLE_SKIP_SIGNATURE=true)";

impl Store {
    /// Opens the bucket of a URL.
    pub(crate) async fn open(url: &ObjectUrl) -> Result<Store, Failure> {
        // A provider that is set already serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let is_true = |value: Option<String>| value.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let credentials = if url.scheme == "s3" { S3 } else { GS };
        let bad = |error: object_store::Error| {
            Failure::BadInput(format!("{url}: {}; look at the variables {credentials}", whole(&error)))
        };
        let without = |error: Option<object_store::Error>| {
            // That the last source, a server that machines of clouds have, does not answer says nothing.
            let last = ["169.254.169.254", "/latest/api/token", "/computeMetadata/"];
            let cause = error.map(|error| whole(&error)).filter(|cause| !last.iter().any(|last| cause.contains(last)));
            let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
            let expected = format!("expected credentials in the environment, found none{cause}; set {credentials}");
            Failure::BadInput(format!("{url}: {expected}"))
        };
        let client: Arc<dyn ObjectStore> = if url.scheme == "s3" {
            let builder = AmazonS3Builder::from_env().with_bucket_name(&url.bucket);
            let is_public = is_true(builder.get_config_value(&AmazonS3ConfigKey::SkipSignature));
            let client = builder.build().map_err(bad)?;
            if !is_public {
                credentials_of(client.credentials()).await.map_err(without)?;
            }
            Arc::new(client)
        } else {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&url.bucket);
            let is_public = is_true(builder.get_config_value(&GoogleConfigKey::SkipSignature));
            let client = builder.build().map_err(bad)?;
            if !is_public {
                credentials_of(client.credentials()).await.map_err(without)?;
            }
            Arc::new(client)
        };
        Ok(Store { client, credentials })
    }

    /// What an error about `url` means.
    pub(crate) fn failure(&self, url: &ObjectUrl, error: &object_store::Error) -> Failure {
        let text = whole(error);
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let bad = |problem: String| Failure::BadInput(format!("{url}: {problem}"));
        let bucket = &url.bucket;
        if has(&["NoSuchBucket", "bucket does not exist", "bucket was not found"]) {
            return bad(format!("expected the bucket {bucket}, found none; correct the URL, or the endpoint"));
        }
        if has(&["redirect without LOCATION", "PermanentRedirect", "AuthorizationHeaderMalformed"]) {
            return bad(format!("expected the region of the bucket {bucket}, found another; set AWS_REGION"));
        }
        if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"])
            || matches!(error, object_store::Error::Unauthenticated { .. })
        {
            let credentials = self.credentials;
            return bad(format!("expected credentials that the store knows, found others; look at {credentials}"));
        }
        if has(&["AccessDenied", "403 Forbidden"]) || matches!(error, object_store::Error::PermissionDenied { .. }) {
            let credentials = self.credentials;
            return bad(format!(
                "expected the right to list and read it, found none, or no such object; ask the bucket's owner, or look at {credentials}"
            ));
        }
        if matches!(error, object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) {
            return Failure::Failed(format!("{url}: the object changed while it was read; run the same command again"));
        }
        if has(&["URL scheme is not allowed"]) {
            return bad("expected an endpoint of https, found http; set AWS_ALLOW_HTTP=true".into());
        }
        Failure::Failed(format!("{url}: {text}"))
    }
}

/// Looks for credentials: what failed, or nothing where there was no answer in time.
async fn credentials_of<C>(
    provider: &Arc<dyn CredentialProvider<Credential = C>>,
) -> Result<(), Option<object_store::Error>> {
    let found = tokio::time::timeout(PATIENCE, provider.get_credential()).await;
    found.map_err(|_| None)?.map(|_| ()).map_err(Some)
}

/// The chain of causes on one line, each said once, with its end cut.
fn whole(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(SHOWN).collect()
}
