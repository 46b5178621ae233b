//! Conversions, by the names of types, and the few functions that take many types.

use super::function::{Function, global, method, of, wrong};
use super::val::{Bytes, Val};
use super::{Cost, Fault, time};
use crate::address;
use crate::value::Text;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use std::rc::Rc;

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// Decodes with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub static FUNCTIONS: &[Function] = &[
    global("bool", 1, |_, args| to_bool(&args[0])),
    global("bytes", 1, |cost, args| to_bytes(&args[0], cost)),
    global("double", 1, |_, args| to_double(&args[0])),
    global("dyn", 1, |_, args| Ok(args[0].clone())),
    global("duration", 1, |_, args| time::to_span(&args[0])),
    global("int", 1, |_, args| to_int(&args[0])),
    global("segment", 1, segment),
    global("size", 1, size),
    global("string", 1, |cost, args| string(&args[0], cost)),
    global("timestamp", 1, |_, args| time::to_time(&args[0])),
    global("type", 1, |_, args| Ok(Val::Type(args[0].kind()))),
    global("uint", 1, |_, args| to_uint(&args[0])),
    method("size", 1, 1, size),
    of("base64", "encode", 1, encode),
    of("base64", "decode", 1, decode),
];

fn to_bool<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match (value, value.as_text()) {
        (Val::Bool(value), _) => Ok(Val::Bool(*value)),
        (_, Some("1" | "t" | "true" | "TRUE" | "True")) => Ok(Val::Bool(true)),
        (_, Some("0" | "f" | "false" | "FALSE" | "False")) => Ok(Val::Bool(false)),
        (_, Some(text)) => Err(unread("bool", text)),
        _ => Err(wrong("bool", value)),
    }
}

fn to_bytes<'a>(value: &Val<'a>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    match (value, value.as_text()) {
        (Val::Bytes(bytes), _) => Ok(Val::Bytes(bytes.clone())),
        (Val::Str(text), _) => Ok(Val::Bytes(Bytes::Const(text.as_bytes()))),
        (_, Some(text)) => {
            cost.charge_text(text.len())?;
            Ok(Val::bytes(text.as_bytes().to_vec()))
        }
        _ => Err(wrong("bytes", value)),
    }
}

fn to_double<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    match (value, value.as_text()) {
        (Val::Double(value), _) => Ok(Val::Double(*value)),
        (Val::Int(value), _) => Ok(Val::Double(*value as f64)),
        (Val::Uint(value), _) => Ok(Val::Double(*value as f64)),
        (_, Some(text)) => text.parse().map(Val::Double).map_err(|_| unread("double", text)),
        _ => Err(wrong("double", value)),
    }
}

fn to_int<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    let beyond = || Fault("the number does not fit into an int".into());
    match (value, value.as_text()) {
        (Val::Int(value), _) => Ok(Val::Int(*value)),
        (Val::Uint(value), _) => i64::try_from(*value).map(Val::Int).map_err(|_| beyond()),
        (Val::Double(value), _) if *value > -TWO_TO_63 && *value < TWO_TO_63 => Ok(Val::Int(*value as i64)),
        (Val::Double(_), _) => Err(beyond()),
        (Val::Time(at), _) => Ok(Val::Int(time::seconds(*at))),
        (_, Some(text)) => text.parse().map(Val::Int).map_err(|_| unread("int", text)),
        _ => Err(wrong("int", value)),
    }
}

fn to_uint<'a>(value: &Val<'a>) -> Result<Val<'a>, Fault> {
    let beyond = || Fault("the number does not fit into a uint".into());
    match (value, value.as_text()) {
        (Val::Uint(value), _) => Ok(Val::Uint(*value)),
        (Val::Int(value), _) => u64::try_from(*value).map(Val::Uint).map_err(|_| beyond()),
        (Val::Double(value), _) if *value >= 0.0 && *value < TWO_TO_64 => Ok(Val::Uint(*value as u64)),
        (Val::Double(_), _) => Err(beyond()),
        (_, Some(text)) => text.parse().map(Val::Uint).map_err(|_| unread("uint", text)),
        _ => Err(wrong("uint", value)),
    }
}

#[cold]
fn unread(kind: &str, text: &str) -> Fault {
    let text: String = text.chars().take(64).collect();
    Fault(format!("'{text}' is no {kind}"))
}

pub fn string<'a>(value: &Val<'a>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    Ok(match value {
        Val::Str(_) | Val::Short(_) | Val::Long(_) => value.clone(),
        Val::Bool(value) => Val::Str(if *value { "true" } else { "false" }),
        Val::Int(value) => Val::text(int_text(*value)),
        Val::Uint(value) => Val::text(compact_str::format_compact!("{value}")),
        Val::Double(value) => Val::text(double_text(*value)),
        Val::Time(at) => Val::text(time::text(*at)),
        Val::Span(span) => Val::text(time::span_text(*span)),
        Val::Bytes(bytes) => {
            cost.charge_text(bytes.len())?;
            let text = std::str::from_utf8(bytes).map_err(|_| Fault("the bytes are no UTF-8".into()))?;
            Val::text(Text::new(text))
        }
        other => return Err(wrong("string", other)),
    })
}

fn int_text(value: i64) -> Text {
    use compact_str::ToCompactString;
    value.to_compact_string()
}

/// Digits where a person would write them, an exponent for the very large and the very small.
pub fn double_text(value: f64) -> Text {
    use compact_str::format_compact;
    let magnitude = value.abs();
    if value.is_nan() {
        Text::const_new("NaN")
    } else if value.is_infinite() {
        Text::const_new(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if magnitude != 0.0 && !(1e-5..1e17).contains(&magnitude) {
        format_compact!("{value:e}")
    } else {
        format_compact!("{value}")
    }
}

fn size<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let size = match (&args[0], args[0].as_text()) {
        (_, Some(text)) => {
            cost.charge_text(text.len())?;
            text.chars().count()
        }
        (Val::Bytes(bytes), _) => bytes.len(),
        (Val::List(list), _) => list.len(),
        (Val::Map(map), _) => map.len(),
        (other, _) => return Err(wrong("size", other)),
    };
    Ok(Val::Int(size as i64))
}

fn segment<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let Some(text) = args[0].as_text() else { return Err(wrong("segment", &args[0])) };
    cost.charge_text(text.len())?;
    Ok(Val::text(address::segment(text)))
}

fn encode<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let Val::Bytes(bytes) = &args[0] else { return Err(wrong("base64.encode", &args[0])) };
    cost.charge_text(bytes.len())?;
    Ok(Val::text(BASE64.encode(&bytes[..]).into()))
}

fn decode<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let Some(text) = args[0].as_text() else { return Err(wrong("base64.decode", &args[0])) };
    cost.charge_text(text.len())?;
    let bytes = BASE64.decode(text).map_err(|error| Fault(format!("this is no base64: {error}")))?;
    Ok(Val::Bytes(Bytes::Built(Rc::from(bytes))))
}

/// The text of a value as `string(..)` makes it, for errors and keys.
pub fn to_text(value: &Val<'_>, cost: &mut Cost) -> Result<Text, Fault> {
    match string(value, cost)? {
        Val::Short(text) => Ok(text),
        other => Ok(Text::new(other.as_text().unwrap_or_default())),
    }
}
