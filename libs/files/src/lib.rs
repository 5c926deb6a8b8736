//! Files that are whole or not there, and checksums of files.
//!
//! [`write_atomically`] and [`AtomicFile`] replace a file so that a crash at any moment leaves the old file or the new one.
//! [`sha256`] and [`sha256_of_file`] are what `sha256sum` prints.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod atomic;
mod checksum;
mod error;

pub use atomic::{AtomicFile, sync_folder, write_atomically};
pub use checksum::{sha256, sha256_of_file};
pub use error::{Error, Result};
