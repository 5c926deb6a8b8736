//! evaluate.

fn main() {}
