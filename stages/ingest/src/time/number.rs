//! Times as numbers since 1970.

use pipeline::config::TimeUnit;

/// Powers of ten in 64 bits.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = 10 * powers[at - 1];
        at += 1;
    }
    powers
};

/// A decimal number: `digits` * 10^`exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    digits: u64,
    exponent: i32,
    negative: bool,
}

impl Number {
    /// Reads a sign, digits, a fraction and an exponent, all but the digits optional. Digits that a number of 64 bits
    /// has no room for are cut from the fraction; a larger whole number is the largest. `None` for any other text.
    pub(super) fn read(text: &str) -> Option<Number> {
        let (negative, text) = match text.as_bytes() {
            [b'-', text @ ..] => (true, text),
            [b'+', text @ ..] => (false, text),
            text => (false, text),
        };
        let (digits, rest) = whole(text)?;
        let mut number = Number { digits, exponent: 0, negative };
        if rest.is_empty() {
            return Some(number);
        }
        let rest = rest.strip_prefix(b".").map_or(rest, |fraction| number.append(fraction));
        number.exponent += match rest {
            [] => 0,
            [b'e' | b'E', power @ ..] => exponent(power)?,
            _ => return None,
        };
        Some(number)
    }

    /// Takes the digits of a fraction, and returns what comes after them.
    fn append<'a>(&mut self, fraction: &'a [u8]) -> &'a [u8] {
        let end = fraction.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(fraction.len());
        for digit in &fraction[..end] {
            let Some(digits) = append(self.digits, digit - b'0') else { break };
            (self.digits, self.exponent) = (digits, self.exponent - 1);
        }
        &fraction[end..]
    }

    /// The unit of the number: `given`, or by default the one that its size tells.
    pub(super) fn unit(self, given: Option<TimeUnit>) -> TimeUnit {
        given.unwrap_or_else(|| unit_of(scaled(self.digits, self.exponent).unwrap_or(u64::MAX)))
    }

    /// Microseconds, cut, of a number in `unit`, by default the unit that its size tells; `None` if they are negative
    /// or too many for 64 bits.
    pub(super) fn microseconds(self, unit: Option<TimeUnit>) -> Option<i64> {
        if self.negative && self.digits > 0 {
            return None;
        }
        let power = match self.unit(unit) {
            TimeUnit::S => 6,
            TimeUnit::Ms => 3,
            TimeUnit::Us => 0,
            TimeUnit::Ns => -3,
        };
        i64::try_from(scaled(self.digits, self.exponent + power)?).ok()
    }
}

/// The unit of a number of this size. The times from 1973 to 2100 have other numbers in each unit.
fn unit_of(size: u64) -> TimeUnit {
    match size {
        size if size < POWERS[11] => TimeUnit::S,
        size if size < POWERS[14] => TimeUnit::Ms,
        size if size < POWERS[17] => TimeUnit::Us,
        _ => TimeUnit::Ns,
    }
}

/// The number that begins a text, at most the largest of 64 bits, and what comes after its digits.
#[inline]
fn whole(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut at) = (0u64, 0);
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        number = append(number, digit).unwrap_or(u64::MAX);
        at += 1;
    }
    (at > 0).then(|| (number, &text[at..]))
}

#[inline]
fn append(number: u64, digit: u8) -> Option<u64> {
    number.checked_mul(10)?.checked_add(u64::from(digit))
}

/// A power of ten of up to two digits; no time has more.
fn exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let read = !digits.is_empty() && digits.len() <= 2 && digits.iter().all(u8::is_ascii_digit);
    read.then(|| sign * digits.iter().fold(0, |power, digit| power * 10 + i32::from(digit - b'0')))
}

/// `digits` * 10^`exponent`, cut.
fn scaled(digits: u64, exponent: i32) -> Option<u64> {
    let power = POWERS.get(exponent.unsigned_abs() as usize).copied();
    if exponent < 0 { Some(power.map_or(0, |power| digits / power)) } else { digits.checked_mul(power?) }
}
