//! Made-up words, queries and documents: the same for the same number, without a table of them.

/// Words of the made-up language.
const WORDS: u64 = 30_000;
/// Queries up to this rank are single words.
const SHORT_QUERIES: u64 = 2_000;
/// Document ids have so many digits after the `d`.
const ID_NUMBERS: u64 = 10_000_000;

const SYLLABLES: [&str; 32] = [
    "ba", "bel", "cor", "da", "den", "fi", "fur", "ga", "gol", "ha", "in", "ka", "lam", "le", "lo", "ma", "mer", "mi",
    "na", "nor", "or", "pa", "pel", "ra", "ri", "sa", "sil", "ta", "ten", "tu", "va", "zo",
];

/// A 64-bit hash of two numbers: two steps of SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) fn hash(first: u64, second: u64) -> u64 {
    let step = |state: u64| {
        let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    step(step(first) ^ second)
}

/// A number below `end`, where small ones are common: its density falls with the square root.
pub(crate) fn skewed(hash: u64, end: u64) -> u64 {
    // 32 bits, so that the square fits.
    let unit = hash >> 32;
    ((u128::from(unit * unit) * u128::from(end)) >> 64) as u64
}

/// The text that stands in `text` for a word.
fn push_word(text: &mut String, word: u64) {
    let mut rest = word;
    for _ in 0..2 + word % 2 {
        text.push_str(SYLLABLES[(rest % 32) as usize]);
        rest /= 32;
    }
    if rest > 0 {
        text.push_str(SYLLABLES[(rest % 32) as usize]);
    }
}

/// The query of a rank from 1, lower case with single spaces. A few have a quote or a comma.
pub(crate) fn query(rank: u64) -> String {
    let mut text = String::new();
    if rank <= SHORT_QUERIES {
        push_word(&mut text, rank);
        return text;
    }
    let of = |part| hash(rank, part);
    for part in 0..2 + of(0) % 3 {
        if part > 0 {
            text.push_str(if of(1) % 100 == 0 { ", " } else { " " });
        }
        push_word(&mut text, skewed(of(2 + part), WORDS));
    }
    if of(6) % 100 == 0 {
        text.push_str(" 12\"");
    }
    text
}

/// A query of more than 200 characters.
pub(crate) fn long_query(number: u64) -> String {
    let mut text = String::new();
    for part in 0.. {
        push_word(&mut text, hash(number, part) % WORDS);
        if text.len() > 200 {
            break;
        }
        text.push(' ');
    }
    text
}

/// The id of a document, by its number; ids of neighbouring numbers lie far apart.
pub(crate) fn doc_id(number: u64) -> String {
    // The factor has no divisor in common with the number of ids, so that no two documents share one.
    format!("d{:07}", (number * 7_919 + 13) % ID_NUMBERS)
}

/// Title and summary of a document, by its number. A few titles have quotes or a comma.
pub(crate) fn document(number: u64) -> (String, String) {
    let of = |part| hash(number ^ 0x646f_6375, part);
    let mut title = String::new();
    for part in 0..3 + of(0) % 5 {
        match (part, of(1) % 20) {
            (0, _) => {}
            (1, 0) => title.push_str(", "),
            (1, 1) => title.push_str(" \"XL\" "),
            _ => title.push(' '),
        }
        push_word(&mut title, skewed(of(2 + part), WORDS));
    }
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let mut summary = String::new();
    for part in 0..20 + of(10) % 40 {
        if part > 0 {
            summary.push_str(if part % 12 == 0 { ". " } else { " " });
        }
        push_word(&mut summary, skewed(of(20 + part), WORDS));
    }
    (title, summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_are_nearly_all_different() {
        let queries: HashSet<String> = (1..=10_000).map(query).collect();
        assert!(queries.len() > 9_900, "{}", queries.len());
        let ids: HashSet<String> = (0..10_000).map(doc_id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(queries.iter().all(|text| text.len() < 200 && *text == text.trim()));
        assert!((0..100).all(|number| (201..300).contains(&long_query(number).len())));
    }

    #[test]
    fn skewed_numbers_stay_below_their_end() {
        let numbers: Vec<u64> = (0..10_000).map(|n| skewed(hash(n, 0), 100)).collect();
        assert!(numbers.iter().all(|&n| n < 100) && skewed(u64::MAX, 100) == 99);
        let low = numbers.iter().filter(|&&n| n < 25).count();
        assert!((4_700..5_300).contains(&low), "{low}");
    }
}
