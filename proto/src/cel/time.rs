//! Timestamps from year 1 to 9999, durations, and their parts in UTC, at a fixed offset from it, or in a zone of the
//! IANA time zone database, which is part of the program: every node has the same one.

use super::Fault;
use super::function::{Function, method, wrong};
use super::val::{Moment, Span, Val};
use crate::value::Text;
use compact_str::format_compact;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use std::sync::LazyLock;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const SECOND_MIN: i64 = -62_135_596_800;
const SECOND_MAX: i64 = 253_402_300_799;

const NANOS: i64 = 1_000_000_000;
const MILLI: i64 = 1_000_000;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

pub static FUNCTIONS: &[Function] = &[
    method("getFullYear", 1, 2, |_, args| of_date("getFullYear", args, |at| at.year().into())),
    method("getMonth", 1, 2, |_, args| of_date("getMonth", args, |at| i64::from(at.month()) - 1)),
    method("getDate", 1, 2, |_, args| of_date("getDate", args, |at| at.day().into())),
    method("getDayOfMonth", 1, 2, |_, args| of_date("getDayOfMonth", args, |at| i64::from(at.day()) - 1)),
    method("getDayOfWeek", 1, 2, |_, args| {
        of_date("getDayOfWeek", args, |at| at.weekday().to_sunday_zero_offset().into())
    }),
    method("getDayOfYear", 1, 2, |_, args| {
        of_date("getDayOfYear", args, |at| i64::from(at.day_of_year()) - 1)
    }),
    method("getHours", 1, 2, |_, args| {
        of_either("getHours", args, |at| at.hour().into(), |span| span.0 / 3600 / NANOS)
    }),
    method("getMinutes", 1, 2, |_, args| {
        of_either("getMinutes", args, |at| at.minute().into(), |span| span.0 / 60 / NANOS)
    }),
    method("getSeconds", 1, 2, |_, args| {
        of_either("getSeconds", args, |at| at.second().into(), |span| span.0 / NANOS)
    }),
    method("getMilliseconds", 1, 2, |_, args| {
        of_either("getMilliseconds", args, |at| at.millisecond().into(), |span| span.0 / 1_000_000 % 1000)
    }),
];

pub fn of_millis<'a>(millis: i64) -> Result<Val<'a>, Fault> {
    within(SignedDuration::from_millis(millis)).map(Val::Time).ok_or_else(beyond)
}

pub fn later<'a>(at: Moment, span: Span) -> Result<Val<'a>, Fault> {
    at.0.checked_add(span.duration()).and_then(within).map(Val::Time).ok_or_else(beyond)
}

pub fn between<'a>(a: Moment, b: Moment) -> Result<Val<'a>, Fault> {
    span(a.0.checked_sub(b.0).and_then(Span::of).map(|span| span.0))
}

/// A duration of so many nanoseconds, if they fit.
pub fn span<'a>(nanos: Option<i64>) -> Result<Val<'a>, Fault> {
    nanos.map(|nanos| Val::Span(Span(nanos))).ok_or_else(|| Fault("the duration is beyond 292 years".into()))
}

fn within(since: SignedDuration) -> Option<Moment> {
    let at = Moment(since);
    (SECOND_MIN..=SECOND_MAX).contains(&seconds(at)).then_some(at)
}

fn beyond() -> Fault {
    Fault("the timestamp is not within the years 1 to 9999".into())
}

/// Since 1970, rounded down.
pub fn seconds(at: Moment) -> i64 {
    at.0.as_secs() - i64::from(at.0.subsec_nanos() < 0)
}

/// The date and time of day, so many seconds east of UTC.
fn civil(at: Moment, east: i64) -> Result<DateTime, Fault> {
    let local = at.0.checked_add(SignedDuration::from_secs(east));
    local.and_then(|local| EPOCH.checked_add(local).ok()).ok_or_else(beyond)
}

pub fn text(at: Moment) -> Text {
    // A moment within the years is a date.
    civil(at, 0).map(|at| format_compact!("{at}Z")).unwrap_or_default()
}

pub fn span_text(span: Span) -> Text {
    let (seconds, nanos) = ((span.0 / NANOS).abs(), (span.0 % NANOS).abs());
    let sign = if span.0 < 0 { "-" } else { "" };
    if nanos == 0 {
        return format_compact!("{sign}{seconds}s");
    }
    let fraction = format_compact!("{nanos:09}");
    format_compact!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

pub fn to_time<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    let at = match (value, value.as_text()) {
        (Val::Time(at), _) => *at,
        (Val::Int(seconds), _) => Moment(SignedDuration::from_secs(*seconds)),
        (_, Some(text)) => parse(text).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            Fault(format!("'{text}' is no timestamp such as 2013-01-31T05:00:00Z"))
        })?,
        _ => return Err(wrong("timestamp", value)),
    };
    within(at.0).map(Val::Time).ok_or_else(beyond)
}

/// The milliseconds of a duration or its text, rounded up. `None`: it is something else.
pub fn span_millis(value: &Val<'_>) -> Option<i64> {
    let nanos = match (value, value.as_text()) {
        (Val::Span(span), _) => span.0,
        (_, Some(text)) => parse_span(text)?,
        _ => return None,
    };
    Some(nanos.div_euclid(MILLI) + i64::from(nanos.rem_euclid(MILLI) > 0))
}

/// The milliseconds from 1970 to a timestamp or its text, rounded up. `None`: it is something else.
pub fn time_millis(value: &Val<'_>) -> Option<i64> {
    let at = match (value, value.as_text()) {
        (Val::Time(at), _) => at.0,
        (_, Some(text)) => within(parse(text)?.0)?.0,
        _ => return None,
    };
    let millis = i64::try_from(at.as_millis()).ok()?;
    Some(millis + i64::from(at.subsec_nanos() % MILLI as i32 > 0))
}

/// A time such as expressions read, in milliseconds since 1970.
pub fn millis(text: &str) -> Option<i64> {
    let at = within(parse(text)?.0)?;
    i64::try_from(at.0.as_millis()).ok()
}

/// RFC 3339, nothing else.
fn parse(text: &str) -> Option<Moment> {
    let (whole, rest) = text.split_at_checked(19)?;
    let bytes = whole.as_bytes();
    if [bytes[4], bytes[7], bytes[10], bytes[13], bytes[16]] != *b"--T::" {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let day = date_of(digits(&whole[..4])?, digits(&whole[5..7])?, digits(&whole[8..10])?)?;
    let (hour, minute, second) = (digits(&whole[11..13])?, digits(&whole[14..16])?, digits(&whole[17..19])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let east = match zone {
        "Z" => 0,
        _ if zone.starts_with(['+', '-']) => offset(zone)?,
        _ => return None,
    };
    let local = day.at(hour as i8, minute as i8, second as i8, nanos as i32).duration_since(EPOCH);
    local.checked_sub(SignedDuration::from_secs(east)).map(Moment)
}

fn date_of(year: u32, month: u32, day: u32) -> Option<Date> {
    Date::new(year as i16, month as i8, day as i8).ok()
}

/// `.123Z` is 123,000,000 and `Z`.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let end = rest.find(|char: char| !char.is_ascii_digit())?;
    if !(1..=9).contains(&end) {
        return None;
    }
    let scale = 10_u32.pow(9 - end as u32);
    Some((digits(&rest[..end])? * scale, &rest[end..]))
}

fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Seconds east of UTC: `+05:30`, `-02:00`, `02:00`.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => (1, text),
    };
    let (hours, minutes) = rest.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (i64::from(digits(hours)?), i64::from(digits(minutes)?));
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 3600 + minutes * 60))
}

pub fn to_span<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match (value, value.as_text()) {
        (Val::Span(span), _) => Ok(Val::Span(*span)),
        (_, Some(text)) => parse_span(text).map(|nanos| Val::Span(Span(nanos))).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            Fault(format!("'{text}' is no duration such as 1h30m or 2.5s within 292 years"))
        }),
        _ => Err(wrong("duration", value)),
    }
}

/// Numbers with units, one after the other: `1h45m`, `-1.5s`.
fn parse_span(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        nanos = nanos.checked_add(scaled(number, unit)?)?;
        rest = after;
    }
    i64::try_from(sign * nanos).ok()
}

fn scaled(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 20 || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(18)];
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * unit + part * unit / 10_i128.pow(fraction.len() as u32))
}

fn of_date<'a>(name: &str, args: &[Val<'a>], part: fn(DateTime) -> i64) -> Result<Val<'a>, Fault> {
    match &args[0] {
        Val::Time(at) => Ok(Val::Int(part(civil(*at, east(name, *at, args)?)?))),
        other => Err(wrong(name, other)),
    }
}

fn of_either<'a>(
    name: &str,
    args: &[Val<'a>],
    part: fn(DateTime) -> i64,
    whole: fn(Span) -> i64,
) -> Result<Val<'a>, Fault> {
    match args {
        [Val::Span(span)] => Ok(Val::Int(whole(*span))),
        _ => of_date(name, args, part),
    }
}

/// Seconds east of UTC in the zone that is named, if one is.
fn east(name: &str, at: Moment, args: &[Val<'_>]) -> Result<i64, Fault> {
    let Some(zone) = args.get(1) else { return Ok(0) };
    let Some(text) = zone.as_text() else { return Err(wrong(name, zone)) };
    match text {
        "UTC" | "Z" | "GMT" | "" => Ok(0),
        _ => offset(text).or_else(|| of_zone(text, at)).ok_or_else(|| {
            let text: String = text.chars().take(64).collect();
            Fault(format!("'{text}' is no time zone such as Europe/Paris, UTC or +01:00"))
        }),
    }
}

fn of_zone(name: &str, at: Moment) -> Option<i64> {
    let zone = ZONES.get(name).ok()?;
    let at = Timestamp::from_duration(at.0).ok()?;
    Some(zone.to_offset(at).seconds().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_the_first_and_the_last_second() {
        let first = DateTime::constant(1, 1, 1, 0, 0, 0, 0).duration_since(EPOCH);
        let last = DateTime::constant(9999, 12, 31, 23, 59, 59, 0).duration_since(EPOCH);
        assert_eq!((first.as_secs(), last.as_secs()), (SECOND_MIN, SECOND_MAX));
    }
}
