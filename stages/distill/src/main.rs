//! distill.

fn main() {}
