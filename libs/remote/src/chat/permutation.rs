//! Reading an order of passages from what a model wrote.

/// An order of passages, and what had to be done to get it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    /// All passages, from 0, the best first.
    pub order: Vec<usize>,
    /// How many of them the answer named; the others follow in the order they were shown in.
    pub named: usize,
    /// Numbers that were named before.
    pub repeated: usize,
    /// Numbers that no passage has.
    pub unknown: usize,
}

/// Reads the order of so many passages: numbers in brackets or, if there are none, all numbers.
#[must_use]
pub fn read(answer: &str, count: usize) -> Reading {
    let bracketed: Vec<&str> =
        numbers(answer).filter(|(_, in_brackets)| *in_brackets).map(|(number, _)| number).collect();
    let found = if bracketed.is_empty() { numbers(answer).map(|(number, _)| number).collect() } else { bracketed };
    let mut reading = Reading { order: Vec::with_capacity(count), named: 0, repeated: 0, unknown: 0 };
    let mut is_named = vec![false; count];
    for number in found {
        let place =
            number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).filter(|&place| place < count);
        match place {
            None => reading.unknown += 1,
            Some(place) if is_named[place] => reading.repeated += 1,
            Some(place) => {
                is_named[place] = true;
                reading.order.push(place);
            }
        }
    }
    reading.named = reading.order.len();
    reading.order.extend((0..count).filter(|&place| !is_named[place]));
    reading
}

/// The runs of digits of a text, and whether each stands in brackets.
fn numbers(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let is_digit = |c: char| c.is_ascii_digit();
        let start = from + text[from..].find(is_digit)?;
        let end = text[start..].find(|c| !is_digit(c)).map_or(text.len(), |length| start + length);
        from = end;
        let in_brackets = text[..start].trim_end().ends_with('[') && text[end..].trim_start().starts_with(']');
        Some((&text[start..end], in_brackets))
    })
}

/// A passage on one line, its numbers in brackets written in parentheses, so that they are not taken for those of passages.
pub(super) fn passage(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        let mut rest = word;
        while let Some(open) = rest.find('[') {
            let inside = &rest[open + 1..];
            let digits = inside.len() - inside.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 && inside[digits..].starts_with(']') {
                line.extend([&rest[..open], "(", &inside[..digits], ")"]);
                rest = &inside[digits + 1..];
            } else {
                line.push_str(&rest[..=open]);
                rest = inside;
            }
        }
        line.push_str(rest);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(order: &[usize], named: usize, repeated: usize, unknown: usize) -> Reading {
        Reading { order: order.into(), named, repeated, unknown }
    }

    #[test]
    fn answers_are_repaired() {
        assert_eq!(read("[2] > [1] > [3]", 3), reading(&[1, 0, 2], 3, 0, 0));
        assert_eq!(read("2 > 3 > 1", 3), reading(&[1, 2, 0], 3, 0, 0));
        assert_eq!(read("The 3 passages: [ 3 ]>[1]", 3), reading(&[2, 0, 1], 2, 0, 0));
        assert_eq!(read("[3] > [3] > [9] > [0] > [1]", 4), reading(&[2, 0, 1, 3], 2, 1, 2));
        assert_eq!(read("I cannot rank these.", 3), reading(&[0, 1, 2], 0, 0, 0));
        assert_eq!(read("[99999999999999999999999] > [2]", 2), reading(&[1, 0], 1, 0, 1));
    }

    #[test]
    fn passages_have_one_line_and_no_numbers_in_brackets() {
        assert_eq!(passage(" see [12]\n\tand[3][a] [ [4]] "), "see (12) and(3)[a] [ (4)]");
    }

    proptest! {
        #[test]
        fn every_answer_gives_a_permutation(answer in r"(\[?[0-9]{0,3}\]?[ >,\PC]{0,3}){0,30}", count in 0_usize..30) {
            let read = read(&answer, count);
            let mut sorted = read.order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            prop_assert!(read.order[read.named..].is_sorted());
        }

        #[test]
        fn whole_answers_are_kept(order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle()) {
            let answer: Vec<String> = order.iter().map(|place| format!("[{}]", place + 1)).collect();
            prop_assert_eq!(read(&answer.join(" > "), 20), reading(&order, 20, 0, 0));
        }
    }
}
