//! simulate.

fn main() {}
