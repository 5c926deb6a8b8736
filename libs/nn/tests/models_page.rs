//! What docs/models.md says of the models that load is what the table of architectures holds.

#![allow(clippy::unwrap_used)]

use nn::models::architectures;
use nn::text::Kind;

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    let (last, others) = names.split_last().unwrap();
    format!("{} and {last}", others.join(", "))
}

#[test]
fn the_page_names_the_architectures_that_load() {
    let of = |kind: Kind| {
        let names: Vec<&str> = architectures().filter(|(_, own)| *own == kind).map(|(name, _)| name).collect();
        listed(&names)
    };
    let sentence = format!("of the architectures {} (encoders), {} (decoders)", of(Kind::Encoder), of(Kind::Decoder));
    let page = std::fs::read_to_string("../../docs/models.md").unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&page).contains(&sentence), "docs/models.md: expected the words: {sentence}");
}
