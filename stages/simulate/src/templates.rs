//! The templates of titles and summaries.
//!
//! The slots: `{c}` the main concept, `{d}` the second one, `{k}` the category, `{q}` one qualifier, `{all}` every
//! qualifier, `{n}` a filler word that no query contains.

/// Titles.
pub(crate) const TITLES: [&str; 5] = [
    "{q} {c} {k} for the {n}",
    "{c} {k} in {q}",
    "the {q} {c} {k}",
    "{q} {c} from {k} makers",
    "{k} {c} with a {q} {n}",
];

/// First sentences.
pub(crate) const OPENINGS: [&str; 4] = [
    "This {c} belongs to our {k} range.",
    "Our {k} makers built the {c}.",
    "Meet the {c} for any {n}.",
    "Here is a {c} for {k} lovers.",
];

/// Sentences with every qualifier.
pub(crate) const QUALITIES: [&str; 4] = [
    "It is {all} and lasts for years.",
    "Buyers call it {all}.",
    "You get a {all} one.",
    "It stays {all} for the {n}.",
];

/// Sentences with the second concept.
pub(crate) const SECOND_CONCEPTS: [&str; 4] =
    ["It goes with any {d}.", "A {d} comes with it.", "Use it as a {d} too.", "The {c} and the {d} match."];

/// Filler words, which no query contains.
pub(crate) const FILLERS: [&str; 32] = [
    "house", "garden", "weekend", "morning", "office", "travel", "winter", "summer", "family", "kitchen", "table",
    "street", "market", "school", "window", "corner", "evening", "holiday", "project", "shelf", "workshop", "season",
    "friend", "guest", "beach", "forest", "city", "village", "party", "journey", "room", "desk",
];

/// The lower-case words of the templates and fillers, some more than once.
pub(crate) fn fixed_words() -> impl Iterator<Item = String> {
    let templates = [&TITLES[..], &OPENINGS, &QUALITIES, &SECOND_CONCEPTS];
    let words = templates.into_iter().flatten().chain(&FILLERS).flat_map(|text| text.split(' '));
    words.filter(|word| !word.starts_with('{')).map(|word| word.trim_end_matches('.').to_lowercase())
}
