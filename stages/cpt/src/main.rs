//! cpt.

fn main() {}
