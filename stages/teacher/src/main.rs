//! teacher.

fn main() {}
