//! A cursor over the bytes of a text.

/// What is left of a text. Each method takes what it is named after, or leaves everything where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Scan { rest: text }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte, which stays.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The number of digits that come next, which stay.
    #[inline]
    pub(super) fn digits(&self) -> usize {
        self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// One of these bytes.
    #[inline]
    pub(super) fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first().filter(|(byte, _)| set.contains(byte))?;
        self.rest = rest;
        Some(byte)
    }

    /// Any number of spaces; false if there is none.
    #[inline]
    pub(super) fn spaces(&mut self) -> bool {
        let before = self.rest.len();
        while self.one_of(b" ").is_some() {}
        self.rest.len() < before
    }

    /// A number of `width` digits, at most nine.
    #[inline]
    pub(super) fn number(&mut self, width: usize) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(width)?;
        let mut number = 0;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number * 10 + u32::from(digit);
        }
        self.rest = rest;
        Some(number)
    }

    /// A number of one or two digits, as many as there are.
    #[inline]
    pub(super) fn short_number(&mut self) -> Option<u32> {
        self.number(2).or_else(|| self.number(1))
    }

    /// Digits as a fraction of one, in millionths; those after the sixth are cut.
    #[inline]
    pub(super) fn millionths(&mut self) -> Option<u32> {
        const POWERS: [u32; 7] = [1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
        let digits = self.digits();
        let read = digits.min(6);
        let number = self.number(read).filter(|_| digits > 0)?;
        self.rest = &self.rest[digits - read..];
        Some(number * POWERS[read])
    }

    /// ASCII letters, at least one.
    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        self.while_bytes(|byte| byte.is_ascii_alphabetic())
    }

    /// Characters of the name of a time zone, at least one.
    pub(super) fn zone_name(&mut self) -> Option<&'a str> {
        let name = self.while_bytes(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte))?;
        std::str::from_utf8(name).ok()
    }

    /// A text in parentheses, at the end.
    pub(super) fn comment(&mut self) {
        if let [b'(', .., b')'] = self.rest {
            self.rest = &[];
        }
    }

    fn while_bytes(&mut self, is: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| !is(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }
}
