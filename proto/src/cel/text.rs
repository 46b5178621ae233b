//! Texts: the standard functions and the `strings` library. Positions count characters, not bytes.

use super::format::format;
use super::function::{Function, method, of, whole, wrong};
use super::val::Val;
use super::{Cost, Fault, list};
use crate::value::Text;
use regex::{Regex, RegexBuilder};

/// The largest compiled pattern, in bytes: with it a match takes 0.3 us for a character at most.
const PATTERN_SIZE_MAX: usize = 1 << 18;

/// The longest pattern, in bytes, that is compiled when the expression runs: it may come from outside, and some take
/// long.
const PATTERN_MAX: usize = 256;

/// What compiling such a pattern costs.
const PATTERN_COST: usize = 2_000;

pub static FUNCTIONS: &[Function] = &[
    method("charAt", 2, 2, char_at),
    method("contains", 2, 2, |cost, args| compared("contains", args, cost, |text, part| text.contains(part))),
    method("endsWith", 2, 2, |cost, args| compared("endsWith", args, cost, |text, end| text.ends_with(end))),
    method("format", 2, 2, |cost, args| format(text("format", args, 0)?, &args[1], cost).map(Val::text)),
    method("indexOf", 2, 3, index_of),
    method("join", 1, 2, join),
    method("lastIndexOf", 2, 3, last_index_of),
    method("lowerAscii", 1, 1, |cost, args| changed("lowerAscii", args, cost, str::to_ascii_lowercase)),
    method("matches", 2, 2, matches_any),
    method("replace", 3, 4, replace),
    method("reverse", 1, 1, reverse),
    method("split", 2, 3, split),
    method("startsWith", 2, 2, |cost, args| {
        compared("startsWith", args, cost, |text, start| text.starts_with(start))
    }),
    method("substring", 2, 3, substring),
    method("trim", 1, 1, trim),
    method("upperAscii", 1, 1, |cost, args| changed("upperAscii", args, cost, str::to_ascii_uppercase)),
    of("strings", "quote", 1, |cost, args| changed("strings.quote", args, cost, quote)),
];

fn text<'v>(name: &str, args: &'v [Val<'_>], at: usize) -> Result<&'v str, Fault> {
    args[at].as_text().ok_or_else(|| wrong(name, &args[at]))
}

fn compared<'a>(
    name: &str,
    args: &[Val<'a>],
    cost: &mut Cost,
    compare: fn(&str, &str) -> bool,
) -> Result<Val<'a>, Fault> {
    let (one, other) = (text(name, args, 0)?, text(name, args, 1)?);
    cost.charge_text(one.len() + other.len())?;
    Ok(Val::Bool(compare(one, other)))
}

fn changed<'a>(
    name: &str,
    args: &[Val<'a>],
    cost: &mut Cost,
    change: impl FnOnce(&str) -> String,
) -> Result<Val<'a>, Fault> {
    let text = text(name, args, 0)?;
    cost.charge_text(text.len())?;
    Ok(Val::text(change(text).into()))
}

/// Part of a text, between borders of characters. It is borrowed where the text is.
fn part<'a>(of: &Val<'a>, start: usize, end: usize) -> Val<'a> {
    match (of, of.as_text()) {
        (Val::Str(text), _) => Val::Str(&text[start..end]),
        (_, Some(text)) => Val::text(Text::new(&text[start..end])),
        (_, None) => Val::Null,
    }
}

fn trim<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let text = text("trim", args, 0)?;
    cost.charge_text(text.len())?;
    let start = text.len() - text.trim_start().len();
    Ok(part(&args[0], start, start + text[start..].trim_end().len()))
}

pub fn pattern(pattern: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Fault("the pattern is too large".into()),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Fault(format!("this is no pattern: {last}"))
        }
    })
}

pub fn matches<'a>(value: &Val<'a>, regex: &Regex, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    let Some(text) = value.as_text() else { return Err(wrong("matches", value)) };
    // A long pattern takes more steps for each character.
    cost.charge(text.len() / 16 * (1 + regex.as_str().len() / 16))?;
    Ok(Val::Bool(regex.is_match(text)))
}

fn matches_any<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    cost.charge(PATTERN_COST)?;
    let text = text("matches", args, 1)?;
    if text.len() > PATTERN_MAX {
        return Err(Fault(format!("a pattern that is no constant has {PATTERN_MAX} bytes at most")));
    }
    let regex = pattern(text)?;
    cost.charge(args[0].as_text().map_or(0, str::len) / 8)?;
    matches(&args[0], &regex, cost)
}

/// Where a character begins, in bytes; the place after the last counts as well.
fn byte_at(text: &str, at: i64) -> Result<usize, Fault> {
    usize::try_from(at)
        .ok()
        .and_then(|at| text.char_indices().map(|(start, _)| start).chain([text.len()]).nth(at))
        .ok_or_else(|| Fault(format!("position {at} of a text of {} characters", text.chars().count())))
}

fn char_at<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let of = text("charAt", args, 0)?;
    cost.charge_text(of.len())?;
    let start = byte_at(of, whole("charAt", args, 1)?)?;
    let end = of[start..].chars().next().map_or(start, |char| start + char.len_utf8());
    Ok(part(&args[0], start, end))
}

fn index_of<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let (of, part) = (text("indexOf", args, 0)?, text("indexOf", args, 1)?);
    cost.charge_text(of.len() + part.len())?;
    let start = match args.len() {
        2 => 0,
        _ => byte_at(of, whole("indexOf", args, 2)?)?,
    };
    Ok(position(of, of[start..].find(part).map(|at| start + at)))
}

fn last_index_of<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let (of, part) = (text("lastIndexOf", args, 0)?, text("lastIndexOf", args, 1)?);
    cost.charge_text(of.len() + part.len())?;
    let end = match args.len() {
        2 => of.len(),
        // The last one that begins at that place or before it.
        _ => byte_at(of, whole("lastIndexOf", args, 2)?)? + part.len(),
    };
    Ok(position(of, of[..floor(of, end)].rfind(part)))
}

/// The character's border at or before a byte.
fn floor(text: &str, end: usize) -> usize {
    (0..=end.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn position<'a>(text: &str, byte: Option<usize>) -> Val<'a> {
    Val::Int(byte.map_or(-1, |byte| text[..byte].chars().count() as i64))
}

fn substring<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let of = text("substring", args, 0)?;
    cost.charge_text(of.len())?;
    let start = byte_at(of, whole("substring", args, 1)?)?;
    let end = match args.len() {
        2 => of.len(),
        _ => byte_at(of, whole("substring", args, 2)?)?,
    };
    if end < start {
        return Err(Fault("the end of a substring lies before its start".into()));
    }
    Ok(part(&args[0], start, end))
}

fn join<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let Val::List(parts) = &args[0] else { return Err(wrong("join", &args[0])) };
    let between = match args.len() {
        1 => "",
        _ => text("join", args, 1)?,
    };
    let mut joined = String::new();
    for (at, part) in parts.iter().enumerate() {
        let part = part.as_text().ok_or_else(|| wrong("join", &part))?;
        cost.charge(1 + (part.len() + between.len()) / 64)?;
        if at > 0 {
            joined.push_str(between);
        }
        joined.push_str(part);
    }
    Ok(Val::text(joined.into()))
}

/// How many pieces or places: none given, or a negative one, means all.
fn limit(name: &str, args: &[Val<'_>], at: usize) -> Result<usize, Fault> {
    if args.len() <= at {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(whole(name, args, at)?).unwrap_or(usize::MAX))
}

fn replace<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let (of, from, to) = (text("replace", args, 0)?, text("replace", args, 1)?, text("replace", args, 2)?);
    let limit = limit("replace", args, 3)?;
    cost.charge_text(of.len() + from.len())?;
    let places = of.matches(from).count().min(limit);
    cost.charge(places.saturating_mul(to.len() + 1) / 64)?;
    Ok(Val::text(of.replacen(from, to, limit).into()))
}

fn split<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let (of, by) = (text("split", args, 0)?, text("split", args, 1)?);
    let limit = limit("split", args, 2)?;
    cost.charge_text(of.len())?;
    let mut parts: Vec<Val<'a>> = Vec::new();
    let mut start = 0;
    while parts.len() < limit {
        cost.charge(1)?;
        let next = if parts.len() + 1 == limit { None } else { cut(&of[start..], by) };
        let Some((length, skipped)) = next else {
            parts.push(part(&args[0], start, of.len()));
            break;
        };
        parts.push(part(&args[0], start, start + length));
        start += length + skipped;
    }
    Ok(Val::list(parts))
}

/// How long the first part is, and what follows it: between characters if there is nothing to cut by.
fn cut(text: &str, by: &str) -> Option<(usize, usize)> {
    let length = if by.is_empty() { text.char_indices().nth(1).map(|(at, _)| at) } else { text.find(by) };
    length.map(|length| (length, by.len()))
}

fn reverse<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    match &args[0] {
        Val::List(items) => list::reverse(items, cost),
        _ => changed("reverse", args, cost, |text| text.chars().rev().collect()),
    }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
