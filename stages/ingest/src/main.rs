//! ingest.

fn main() {}
