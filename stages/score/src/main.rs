//! score.

fn main() {}
