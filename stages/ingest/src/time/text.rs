//! Times as texts of one plain meaning: RFC 3339, RFC 2822, ISO 8601, web servers' logs and what programs print.

use super::calendar::{DAY, days, weekday};
use super::scan::Scan;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written<'a> {
    /// Seconds from 1970-01-01T00:00:00 to what the clock shows.
    pub(super) seconds: i64,
    /// Fraction of the second, in microseconds.
    pub(super) micros: u32,
    /// Zone of the clock.
    pub(super) zone: Zone<'a>,
}

/// Time zone of a written time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone<'a> {
    /// None is written.
    Unsaid,
    /// Seconds east of UTC.
    Offset(i32),
    /// A name of the IANA database.
    Name(&'a str),
}

/// Reads `2022-10-19T12:01:00` or `2022-10-19 12:01:00` with any fraction and zone, which nearly all logs have; `None`
/// for any other text. `read` would read the same in twice the time.
#[inline]
pub(super) fn usual(text: &str) -> Option<Written<'_>> {
    let (head, tail) = text.as_bytes().split_first_chunk::<19>()?;
    let separated = head[4] == b'-' && head[7] == b'-' && head[13] == b':' && head[16] == b':';
    if !separated || !matches!(head[10], b'T' | b' ') {
        return None;
    }
    let two = |at: usize| {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| u32::from(tens * 10 + ones))
    };
    let days = days(two(0)? * 100 + two(2)?, two(5)?, two(8)?)?;
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let mut scan = Scan::new(tail);
    let micros = fraction(&mut scan)?;
    let clock = Clock::new(hour, minute, second, micros)?;
    let zone = zone(&mut scan)?;
    scan.is_empty().then(|| clock.on(days, zone))
}

/// Reads a time; `None` if the text is none, or has no plain meaning.
pub(super) fn read(text: &str) -> Option<Written<'_>> {
    let mut scan = Scan::new(text.as_bytes());
    if scan.peek()?.is_ascii_digit() && scan.digits() >= 4 { by_numbers(&mut scan) } else { by_name(&mut scan) }
}

/// Reads the digits of `20221019120100`, `20221019120100184`, `20221019` and the like.
pub(super) fn compact(text: &str) -> Option<Written<'_>> {
    let mut scan = Scan::new(text.as_bytes());
    let days = basic_date(&mut scan)?;
    let clock = if scan.is_empty() { Clock::default() } else { basic_clock(&mut scan)? };
    scan.is_empty().then(|| clock.on(days, Zone::Unsaid))
}

/// Reads what `/Date(...)/` encloses: milliseconds since 1970, and an offset that does not change the moment.
pub(super) fn json_date(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let Some(at) = inner.rfind(['+', '-']).filter(|&at| at > 0) else { return Some(inner) };
    let mut rest = Scan::new(&inner.as_bytes()[at..]);
    let whole = offset(&mut rest).is_some() && rest.is_empty();
    whole.then_some(&inner[..at])
}

/// Reads a zone that stands alone.
pub(super) fn zone_alone(text: &str) -> Option<Zone<'_>> {
    let mut scan = Scan::new(text.as_bytes());
    let found = zone(&mut scan)?;
    scan.is_empty().then_some(found)
}

/// What a clock shows.
#[derive(Debug, Default, Clone, Copy)]
struct Clock {
    seconds: i64,
    micros: u32,
}

impl Clock {
    fn new(hour: u32, minute: u32, second: u32, micros: u32) -> Option<Clock> {
        // A leap second is the next one's name, and so is the end of a day.
        let end_of_day = hour == 24 && minute == 0 && second == 0 && micros == 0;
        let valid = (hour < 24 || end_of_day) && minute < 60 && second <= 60;
        valid.then(|| Clock { seconds: i64::from(hour * 3600 + minute * 60 + second), micros })
    }

    fn on<'a>(self, days: i64, zone: Zone<'a>) -> Written<'a> {
        Written { seconds: days * DAY + self.seconds, micros: self.micros, zone }
    }
}

/// `2022-10-19T12:01:00Z` and its variants, whose year comes first.
fn by_numbers<'a>(scan: &mut Scan<'a>) -> Option<Written<'a>> {
    let (days, basic) = match scan.digits() {
        4 => (extended_date(scan)?, false),
        8 | 14 => (basic_date(scan)?, true),
        _ => return None,
    };
    if scan.is_empty() {
        return Some(Clock::default().on(days, Zone::Unsaid));
    }
    let clock = if basic && scan.peek()?.is_ascii_digit() {
        basic_clock(scan)?
    } else {
        match scan.one_of(b"Tt") {
            Some(_) if matches!(scan.digits(), 4 | 6) => basic_clock(scan)?,
            Some(_) => extended_clock(scan, true)?,
            None => scan.spaces().then(|| extended_clock(scan, true))??,
        }
    };
    let zone = zone(scan)?;
    scan.is_empty().then(|| clock.on(days, zone))
}

fn extended_date(scan: &mut Scan) -> Option<i64> {
    let year = scan.number(4)?;
    let separator = scan.one_of(b"-/.")?;
    let month = scan.short_number()?;
    scan.one_of(&[separator])?;
    days(year, month, scan.short_number()?)
}

fn basic_date(scan: &mut Scan) -> Option<i64> {
    days(scan.number(4)?, scan.number(2)?, scan.number(2)?)
}

/// `12:01`, `12:01:00`, `12:01:00.184`, with or without `AM` or `PM`; after an ISO date also `12`.
#[inline]
fn extended_clock(scan: &mut Scan, hours_alone: bool) -> Option<Clock> {
    let mut hour = scan.short_number()?;
    let (mut minute, mut second, mut micros) = (0, 0, 0);
    if scan.one_of(b":").is_some() {
        minute = scan.number(2)?;
        if scan.one_of(b":").is_some() {
            second = scan.number(2)?;
            micros = fraction(scan)?;
        }
    } else if !hours_alone {
        return None;
    }
    if let Some(afternoon) = half_of_day(scan) {
        hour = (1..=12).contains(&hour).then_some(hour % 12 + 12 * u32::from(afternoon))?;
    }
    Clock::new(hour, minute, second, micros)
}

/// `1201`, `120100`, `120100.184`, `120100184`.
fn basic_clock(scan: &mut Scan) -> Option<Clock> {
    let (hour, minute) = (scan.number(2)?, scan.number(2)?);
    let second = scan.number(2).unwrap_or(0);
    let micros = if scan.digits() > 0 { scan.millionths()? } else { fraction(scan)? };
    Clock::new(hour, minute, second, micros)
}

/// Microseconds of `.184`; none of nothing.
#[inline]
fn fraction(scan: &mut Scan) -> Option<u32> {
    if scan.one_of(b".,").is_some() { scan.millionths() } else { Some(0) }
}

/// True for `PM`, false for `AM`.
fn half_of_day(scan: &mut Scan) -> Option<bool> {
    let mut ahead = *scan;
    ahead.spaces();
    let word = ahead.word()?;
    let afternoon = word.eq_ignore_ascii_case(b"pm");
    if !afternoon && !word.eq_ignore_ascii_case(b"am") {
        return None;
    }
    *scan = ahead;
    Some(afternoon)
}

/// `Wed, 19 Oct 2022 12:01:00 GMT`, `19/Oct/2022:12:01:00 +0000`, `Oct 19, 2022 12:01`, `Wed Oct 19 12:01:00 2022` and
/// the like, whose month is a name.
fn by_name<'a>(scan: &mut Scan<'a>) -> Option<Written<'a>> {
    let day_of_week = named(scan, &WEEKDAYS);
    scan.one_of(b",");
    scan.spaces();
    let (days, clock, zone) = if scan.digits() > 0 {
        let day = scan.short_number()?;
        let separator = scan.one_of(b" -/")?;
        let month = named(scan, &MONTHS)?;
        scan.one_of(&[separator])?;
        let days = days(scan.number(4)?, month + 1, day)?;
        let (clock, zone) = clock_and_zone(scan)?;
        (days, clock, zone)
    } else {
        month_first(scan)?
    };
    let right = day_of_week.is_none_or(|found| i64::from(found) == weekday(days));
    (right && scan.is_empty()).then(|| clock.on(days, zone))
}

/// `Oct 19, 2022 12:01:00`, `Oct 19 2022 12:01:00 GMT+0200 (CEST)`, `Oct 19 12:01:00 UTC 2022`.
fn month_first<'a>(scan: &mut Scan<'a>) -> Option<(i64, Clock, Zone<'a>)> {
    let month = named(scan, &MONTHS)? + 1;
    scan.spaces();
    let day = scan.short_number()?;
    scan.one_of(b",");
    scan.spaces();
    if scan.digits() == 4 {
        let days = days(scan.number(4)?, month, day)?;
        let (clock, zone) = clock_and_zone(scan)?;
        return Some((days, clock, zone));
    }
    let clock = extended_clock(scan, false)?;
    scan.spaces();
    let zone = if scan.digits() == 4 { Zone::Unsaid } else { zone(scan)? };
    scan.spaces();
    Some((days(scan.number(4)?, month, day)?, clock, zone))
}

/// What follows a date whose month is a name: nothing, or the time after a space, a comma or a colon.
fn clock_and_zone<'a>(scan: &mut Scan<'a>) -> Option<(Clock, Zone<'a>)> {
    if scan.is_empty() {
        return Some((Clock::default(), Zone::Unsaid));
    }
    if scan.one_of(b":").is_none() {
        scan.one_of(b",");
        scan.spaces().then_some(())?;
    }
    Some((extended_clock(scan, false)?, zone(scan)?))
}

/// The place in the list of the name that comes next, whole or its first letters, at least three.
fn named(scan: &mut Scan, names: &[&str]) -> Option<u32> {
    let mut ahead = *scan;
    let word = ahead.word()?;
    let begins = |name: &&str| name.as_bytes().get(..word.len()).is_some_and(|part| part.eq_ignore_ascii_case(word));
    let at = names.iter().position(begins).filter(|_| word.len() >= 3)?;
    *scan = ahead;
    Some(at as u32)
}

/// The zone that ends a time: `Z`, `UTC`, an offset, a name of the IANA database after a space or in brackets, or
/// nothing.
///
/// An offset decides over the name after it. Names without a slash are refused: most of them are abbreviations, such as
/// `EST`, that stand for several zones.
#[inline]
fn zone<'a>(scan: &mut Scan<'a>) -> Option<Zone<'a>> {
    let spaced = scan.spaces();
    let found = match scan.peek() {
        None => return Some(Zone::Unsaid),
        Some(b'+' | b'-') => Zone::Offset(offset(scan)?),
        Some(b'[') => return bracketed(scan),
        Some(_) => named_zone(scan, spaced)?,
    };
    if !scan.is_empty() {
        scan.spaces();
        if scan.peek() == Some(b'[') {
            bracketed(scan)?;
        } else {
            scan.comment();
        }
    }
    Some(found)
}

/// `+02:00`, `+0200`, `+02`, `+2`; also with seconds.
fn offset(scan: &mut Scan) -> Option<i32> {
    let west = scan.one_of(b"+-")? == b'-';
    let hours = scan.short_number()?;
    let (mut minutes, mut seconds) = (0, 0);
    if scan.one_of(b":").is_some() {
        minutes = scan.number(2)?;
        if scan.one_of(b":").is_some() {
            seconds = scan.number(2)?;
        }
    } else if scan.digits() > 0 {
        minutes = scan.number(2)?;
    }
    let valid = hours < 24 && minutes < 60 && seconds < 60;
    let size = (hours * 3600 + minutes * 60 + seconds) as i32;
    valid.then_some(if west { -size } else { size })
}

fn named_zone<'a>(scan: &mut Scan<'a>, spaced: bool) -> Option<Zone<'a>> {
    let start = *scan;
    let word = scan.word()?;
    if is_utc(word) {
        let more = word.len() > 1 && matches!(scan.peek(), Some(b'+' | b'-'));
        return Some(Zone::Offset(if more { offset(scan)? } else { 0 }));
    }
    *scan = start;
    scan.zone_name().filter(|name| spaced && name.contains('/')).map(Zone::Name)
}

fn is_utc(name: &[u8]) -> bool {
    matches!(name, b"Z" | b"z") || [&b"UTC"[..], b"GMT", b"UT"].iter().any(|utc| name.eq_ignore_ascii_case(utc))
}

/// `[Europe/Paris]`.
fn bracketed<'a>(scan: &mut Scan<'a>) -> Option<Zone<'a>> {
    scan.one_of(b"[")?;
    let name = scan.zone_name()?;
    scan.one_of(b"]")?;
    if is_utc(name.as_bytes()) {
        return Some(Zone::Offset(0));
    }
    name.contains('/').then_some(Zone::Name(name))
}
