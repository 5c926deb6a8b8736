//! Times of events, in microseconds since 1970.

mod calendar;
mod number;
mod scan;
#[cfg(test)]
mod tests;
mod text;

use anyhow::{Context, Result, bail};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, civil};
use pipeline::config::{TimeConfig, TimeUnit};

use number::Number;
use text::{Written, Zone};

const NO_TIME: &str = "shown_at is not a time";
const OUT_OF_RANGE: &str = "shown_at is outside of the years 1970 to 2100";

/// 2101-01-01T00:00:00Z in microseconds.
const END: i64 = 4_133_980_800_000_000;

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the format of the configuration.
    Configured,
    /// As a date and a time, of any of the forms that are read by themselves.
    DateAndTime,
    /// As a number of such units since 1970.
    Number(TimeUnit),
}

impl Form {
    /// The form in words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Configured => "as ingest.log.time.format has it",
            Form::DateAndTime => "as date and time",
            Form::Number(TimeUnit::S) => "as seconds since 1970",
            Form::Number(TimeUnit::Ms) => "as milliseconds since 1970",
            Form::Number(TimeUnit::Us) => "as microseconds since 1970",
            Form::Number(TimeUnit::Ns) => "as nanoseconds since 1970",
        }
    }
}

/// Reads times as `ingest.log.time` has it.
#[derive(Debug)]
pub(crate) struct Times {
    format: Option<String>,
    unit: Option<TimeUnit>,
    /// Zone of times without one.
    zone: TimeZone,
    /// Its offset in seconds, if it has but one.
    offset: Option<i64>,
    /// Bundled with the program, so that all machines read alike.
    zones: TimeZoneDatabase,
}

impl Times {
    /// # Errors
    /// If there is no such time zone, or if no time can be read by the format.
    pub(crate) fn new(config: &TimeConfig) -> Result<Times> {
        let zones = TimeZoneDatabase::bundled();
        let zone = match config.zone.as_deref() {
            Some(name) => named_zone(&zones, name)?,
            None => TimeZone::UTC,
        };
        let offset = zone.to_fixed_offset().ok().map(|offset| i64::from(offset.seconds()));
        let times = Times { format: config.format.clone(), unit: config.unit, zone, offset, zones };
        if let Some(format) = &times.format {
            times.check(format)?;
        }
        Ok(times)
    }

    /// Microseconds since 1970; what is finer is cut. White space around the time does not count.
    ///
    /// A number of 8 or 12 digits that reads as a date too has two meanings, and is no time without a unit or format.
    ///
    /// # Errors
    /// A reason without the text, if it is no time, or one outside of the years 1970 to 2100.
    #[inline]
    pub(crate) fn microseconds(&self, text: &str) -> Result<i64, &'static str> {
        self.read(text).map(|(moment, _)| moment)
    }

    /// As [`Times::microseconds`], with how the time is written.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub(crate) fn read(&self, text: &str) -> Result<(i64, Form), &'static str> {
        let text = text.trim_ascii();
        let (moment, form) = if let Some(format) = &self.format {
            (self.by_format(format, text).ok_or(NO_TIME)?, Form::Configured)
        } else if let Some(written) = text::usual(text) {
            (self.moment(written).ok_or(NO_TIME)?, Form::DateAndTime)
        } else if let Some(number) = Number::read(text) {
            self.counted(number, text)?
        } else if let Some(written) = text::read(text) {
            (self.moment(written).ok_or(NO_TIME)?, Form::DateAndTime)
        } else {
            let number = text::json_date(text).and_then(Number::read).ok_or(NO_TIME)?;
            (number.microseconds(Some(TimeUnit::Ms)).ok_or(OUT_OF_RANGE)?, Form::Number(TimeUnit::Ms))
        };
        if (0..END).contains(&moment) { Ok((moment, form)) } else { Err(OUT_OF_RANGE) }
    }

    /// The moment of a number since 1970, or of the digits of a date and time.
    fn counted(&self, number: Number, text: &str) -> Result<(i64, Form), &'static str> {
        let moment = number.microseconds(self.unit).filter(|moment| (0..END).contains(moment));
        let date = match text.len() {
            8 | 12 | 14 | 17 | 20 if self.unit.is_none() => text::compact(text).and_then(|date| self.moment(date)),
            _ => None,
        };
        match (moment, date.filter(|date| (0..END).contains(date))) {
            (Some(_), Some(_)) => Err(NO_TIME),
            (Some(moment), None) => Ok((moment, Form::Number(number.unit(self.unit)))),
            (None, Some(moment)) => Ok((moment, Form::DateAndTime)),
            (None, None) => Err(OUT_OF_RANGE),
        }
    }

    fn moment(&self, written: Written) -> Option<i64> {
        let seconds = match (written.zone, self.offset) {
            (Zone::Offset(offset), _) => written.seconds - i64::from(offset),
            (Zone::Unsaid, Some(offset)) => written.seconds - offset,
            (Zone::Unsaid, None) => at(&self.zone, written.seconds)?,
            (Zone::Name(name), _) => at(&self.zones.get(name).ok()?, written.seconds)?,
        };
        Some(seconds * 1_000_000 + i64::from(written.micros))
    }

    fn by_format(&self, format: &str, text: &str) -> Option<i64> {
        self.at_parsed(&BrokenDownTime::parse(format, text).ok()?).ok()
    }

    fn at_parsed(&self, parsed: &BrokenDownTime) -> Result<i64, jiff::Error> {
        let moment = match (parsed.timestamp(), parsed.offset(), parsed.iana_time_zone()) {
            (Some(moment), ..) => {
                let fraction = parsed.subsec_nanosecond().unwrap_or(0);
                return Ok(moment.as_microsecond() + i64::from(fraction / 1000));
            }
            (_, Some(offset), _) => offset.to_timestamp(parsed.to_datetime()?)?,
            (_, None, Some(name)) => self.zones.get(name)?.to_timestamp(parsed.to_datetime()?)?,
            (_, None, None) => self.zone.to_timestamp(parsed.to_datetime()?)?,
        };
        Ok(moment.as_microsecond())
    }

    /// Fails if a time that is written in the format cannot be read again.
    fn check(&self, format: &str) -> Result<()> {
        let expected = || {
            format!(
                "ingest.log.time.format: expected a strptime format with date and time, such as \
                 `%d/%b/%Y:%H:%M:%S %z`, found {format:?}"
            )
        };
        let sample = civil::date(2022, 10, 19).at(13, 1, 0, 0).to_zoned_datetime(TimeZone::UTC)?;
        let written = strtime::format(format, &sample).with_context(expected)?;
        let read = BrokenDownTime::parse(format, &written).with_context(expected)?;
        self.at_parsed(&read).with_context(expected)?;
        if read.hour().is_some_and(|hour| hour != 13) {
            bail!("{}: `%I` needs `%p`", expected());
        }
        Ok(())
    }
}

/// A zone by its name in the IANA database or by its offset.
fn named_zone(zones: &TimeZoneDatabase, name: &str) -> Result<TimeZone> {
    if let Some(Zone::Offset(seconds)) = text::zone_alone(name)
        && let Ok(offset) = Offset::from_seconds(seconds)
    {
        return Ok(offset.to_time_zone());
    }
    let expected = "a name such as `Europe/Paris` or an offset such as `+02:00`";
    zones.get(name).ok().with_context(|| format!("ingest.log.time.zone: expected {expected}, found {name:?}"))
}

/// Seconds since 1970 at which the clocks of a zone show `seconds` since 1970; the earlier ones if they do so twice,
/// and those of the moved clocks if they never do.
fn at(zone: &TimeZone, seconds: i64) -> Option<i64> {
    let shown = Offset::UTC.to_datetime(Timestamp::from_second(seconds).ok()?);
    Some(zone.to_timestamp(shown).ok()?.as_second())
}
