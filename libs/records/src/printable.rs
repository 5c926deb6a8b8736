//! Content of files in messages for people.

/// `bytes` as text of at most `max_chars` characters that is safe to print: control characters, marks that change the
/// direction of text and invisible ones as `\u{1}`, bytes that are not UTF-8 as U+FFFD. Longer text ends in `…`.
#[must_use]
pub fn printable(bytes: &[u8], max_chars: usize) -> String {
    let mut text = String::new();
    let mut left = max_chars;
    // Offset and number of characters where the text ends if there is more than fits.
    let mut cut = 0;
    for chunk in bytes.utf8_chunks() {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for c in chunk.valid().chars().chain(invalid) {
            let width = if is_hidden(c) { c.escape_unicode().count() } else { 1 };
            if width > left {
                text.truncate(cut);
                text.extend((max_chars > 0).then_some('…'));
                return text;
            }
            left -= width;
            if is_hidden(c) {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
            if left > 0 {
                cut = text.len();
            }
        }
    }
    text
}

/// True for characters that a terminal acts on or does not show.
fn is_hidden(c: char) -> bool {
    let hidden = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    let ranges = ['\u{200b}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2060}'..='\u{206f}'];
    c.is_control() || hidden.contains(&c) || ranges.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_act_on_is_spelt_out() {
        assert_eq!(printable(b"a\x1b[31m\xff\tb", 80), "a\\u{1b}[31m\u{fffd}\\u{9}b");
        assert_eq!(printable("x\u{202e}y\u{200b}".as_bytes(), 80), "x\\u{202e}y\\u{200b}");
        assert_eq!(printable("häuser".as_bytes(), 6), "häuser");
        assert_eq!(printable("häuser".as_bytes(), 4), "häu…");
        assert_eq!(printable(b"ab\x01", 5), "ab…");
        assert_eq!(printable(b"abc", 0), "");
    }

    proptest! {
        #[test]
        fn any_bytes_become_short_plain_text(bytes in prop::collection::vec(any::<u8>(), 0..60), max in 0_usize..40) {
            let text = printable(&bytes, max);
            prop_assert!(text.chars().count() <= max);
            prop_assert!(!text.contains(is_hidden));
        }
    }
}
