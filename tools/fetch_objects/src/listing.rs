//! Which objects there are.

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use objects::{ObjectUrl, Pattern, Version};

use crate::failure::Failure;
use crate::store::Store;

/// An object of the store.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) url: ObjectUrl,
    pub(crate) version: Version,
    pub(crate) location: Path,
    /// The entity tag, which a request may ask for.
    pub(crate) e_tag: Option<String>,
}

/// The object of a URL, or those that its pattern matches; none where there are none.
pub(crate) async fn objects(store: &Store, url: &ObjectUrl) -> Result<Vec<Found>, Failure> {
    let bad = |error: objects::Error| Failure::BadInput(error.to_string());
    if let Some(pattern) = Pattern::of(url).map_err(bad)? {
        let listed = listed(store, &url.with_key(&pattern.folder)).await?;
        return Ok(pattern.matching(listed, |found| &found.url.key));
    }
    match store.client.head(&location(url)?).await {
        Ok(meta) => Ok(vec![found(url, meta)]),
        Err(object_store::Error::NotFound { .. }) => {
            // Says whether the bucket is there, which the first answer does not.
            let folder = url.key.rsplit_once('/').map_or("", |(folder, _)| folder);
            let below = (!folder.is_empty()).then(|| Path::parse(folder)).transpose().ok().flatten();
            let first = store.client.list(below.as_ref()).try_next().await;
            first.map(|_| Vec::new()).map_err(|error| store.failure(url, &error))
        }
        Err(error) => Err(store.failure(url, &error)),
    }
}

/// The objects below a URL.
pub(crate) async fn folder(store: &Store, url: &ObjectUrl) -> Result<Vec<Found>, Failure> {
    listed(store, url).await
}

/// The objects below a URL in the order of their keys; of the whole bucket, where it has no key.
async fn listed(store: &Store, url: &ObjectUrl) -> Result<Vec<Found>, Failure> {
    let below = if url.key.is_empty() { None } else { Some(location(url)?) };
    let listed = store.client.list(below.as_ref()).try_collect::<Vec<ObjectMeta>>().await;
    let mut metas = listed.map_err(|error| store.failure(url, &error))?;
    metas.sort_by(|a, b| a.location.cmp(&b.location));
    let mut found: Vec<Found> = metas.into_iter().map(|meta| self::found(url, meta)).collect();
    // Consoles mark folders by empty objects.
    let is_folder = |at: usize, all: &[Found]| {
        let below = format!("{}/", all[at].url.key);
        all[at].version.bytes == 0 && all.iter().skip(at + 1).any(|other| other.url.key.starts_with(&below))
    };
    let folders: Vec<bool> = (0..found.len()).map(|at| is_folder(at, &found)).collect();
    let mut folders = folders.into_iter();
    found.retain(|found| !folders.next().unwrap_or_default() && found.url.key != url.key);
    Ok(found)
}

fn found(url: &ObjectUrl, meta: ObjectMeta) -> Found {
    let tag = meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339());
    Found {
        url: url.with_key(meta.location.as_ref()),
        version: Version { bytes: meta.size, tag },
        location: meta.location,
        e_tag: meta.e_tag,
    }
}

fn location(url: &ObjectUrl) -> Result<Path, Failure> {
    Path::parse(&url.key).map_err(|error| Failure::BadInput(format!("{url}: {error}")))
}
