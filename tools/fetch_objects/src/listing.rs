//! Which objects there are.

use std::collections::HashSet;

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
        let listed = listed(store, url, &pattern.folder).await?;
        return Ok(pattern.matching(listed, |found| &found.url.key));
    }
    match store.client.head(&location(url)?).await {
        Ok(meta) => Ok(vec![found(url, meta)]),
        Err(object_store::Error::NotFound { .. }) => {
            // Says whether the bucket is there, which the first answer does not.
            let folder = url.key.rsplit_once('/').map_or("", |(folder, _)| folder);
            let below = if folder.is_empty() { None } else { Some(location(&url.with_key(folder))?) };
            let first = store.client.list(below.as_ref()).try_next().await;
            first.map(|_| Vec::new()).map_err(|error| store.failure(url, &error))
        }
        Err(error) => Err(store.failure(url, &error)),
    }
}

/// The objects below a URL.
pub(crate) async fn folder(store: &Store, url: &ObjectUrl) -> Result<Vec<Found>, Failure> {
    listed(store, url, &url.key).await
}

/// The objects below a folder of the bucket of `url` in the order of their keys; of the whole bucket, where the folder has no name.
async fn listed(store: &Store, url: &ObjectUrl, folder: &str) -> Result<Vec<Found>, Failure> {
    let below = if folder.is_empty() { None } else { Some(location(&url.with_key(folder))?) };
    let listed = store.client.list(below.as_ref()).try_collect::<Vec<ObjectMeta>>().await;
    let mut metas = listed.map_err(|error| store.failure(url, &error))?;
    metas.sort_by(|a, b| a.location.cmp(&b.location));
    let mut found: Vec<Found> = metas.into_iter().map(|meta| self::found(url, meta)).collect();
    // Consoles mark folders by empty objects.
    let mut folders = HashSet::from([folder.to_string()]);
    for Found { url, .. } in &found {
        folders.extend(url.key.match_indices('/').map(|(end, _)| url.key[..end].to_string()));
    }
    found.retain(|found| found.version.bytes > 0 || !folders.contains(&found.url.key));
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
