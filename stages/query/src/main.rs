//! query.

fn main() {}
