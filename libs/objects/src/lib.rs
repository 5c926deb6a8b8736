//! Objects of S3 and Google Cloud Storage as local files: their URLs, their places in the cache, and the call of the program
//! that fetches them.
//!
//! The clients of these stores bring an asynchronous runtime and an HTTP client. They are a program of their own,
//! `fetch-objects`, so that no stage is compiled or linked with them. [`fetch`] starts it and returns the objects' files in the
//! cache; a file is fetched again only when its object has changed.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod error;
mod fetch;
mod message;
mod pattern;
mod url;

pub use cache::{Cache, Version};
pub use error::Error;
pub use fetch::{Fetch, Found, fetch, list};
pub use message::{Message, Object};
pub use pattern::Pattern;
pub use url::{ObjectUrl, is_url};
