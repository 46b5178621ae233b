//! What an expression gives, in the form in which it can be stored or sent.

use super::val::{List, Map, Val};
use super::{Cost, Fault, convert, time};
use crate::value::{DEPTH_MAX, Record, Text, Value};
use std::rc::Rc;
use std::sync::Arc;

pub fn store(value: Val<'_>, cost: &mut Cost) -> Result<Value, Fault> {
    deep(value, cost, 0)
}

fn deep(value: Val<'_>, cost: &mut Cost, depth: usize) -> Result<Value, Fault> {
    match value {
        Val::Null => Ok(Value::Null),
        Val::Bool(value) => Ok(Value::Bool(value)),
        Val::Int(value) => Ok(Value::Int(value)),
        Val::Uint(value) => i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| Fault(format!("{value}u is beyond 2^63 - 1 and cannot be stored"))),
        Val::Double(value) => Value::number(value)
            .ok_or_else(|| Fault(format!("{} cannot be stored", convert::double_text(value)))),
        Val::Str(text) => {
            cost.charge_text(text.len())?;
            Ok(Value::text(text))
        }
        Val::Short(text) => Ok(Value::Text(text)),
        Val::Long(text) => {
            cost.charge_text(text.len())?;
            Ok(Value::Text(Rc::unwrap_or_clone(text)))
        }
        Val::List(list) => list_value(&list, cost, depth),
        Val::Map(map) => map_value(&map, cost, depth),
        Val::Time(at) => Ok(Value::Text(time::text(at))),
        Val::Span(span) => Ok(Value::Text(time::span_text(span))),
        Val::Bytes(_) => Err(Fault("bytes cannot be stored yet: use base64.encode".into())),
        Val::Type(_) => Err(Fault("a type cannot be stored".into())),
        Val::Optional(_) => Err(Fault("an optional cannot be stored: end it with .orValue(..)".into())),
    }
}

fn deeper(depth: usize) -> Result<usize, Fault> {
    if depth == DEPTH_MAX {
        return Err(Fault(format!("lists and records lie in one another more than {DEPTH_MAX} levels deep")));
    }
    Ok(depth + 1)
}

fn list_value(list: &List<'_>, cost: &mut Cost, depth: usize) -> Result<Value, Fault> {
    match list {
        List::Stored(items) => {
            shared(depth, |depth| within_list(items, cost, depth))?;
            Ok(Value::List(Arc::clone(items)))
        }
        List::Built(items) => {
            let depth = deeper(depth)?;
            cost.charge(items.len())?;
            let items: Result<Vec<Value>, Fault> =
                items.iter().map(|item| deep(item.clone(), cost, depth)).collect();
            Ok(Value::List(items?.into()))
        }
    }
}

fn map_value(map: &Map<'_>, cost: &mut Cost, depth: usize) -> Result<Value, Fault> {
    if let Map::Record(record) = map {
        shared(depth, |depth| within_record(record, cost, depth))?;
        return Ok(Value::Record((*record).clone()));
    }
    let depth = deeper(depth)?;
    cost.charge(map.len())?;
    let mut members: Vec<(Text, Value)> = Vec::with_capacity(map.len());
    for (key, value) in map.entries() {
        let Some(name) = key.as_text() else {
            return Err(Fault(format!(
                "a map with a key of type {} cannot be stored: use string(..)",
                key.kind()
            )));
        };
        members.push((Text::new(name), deep(value, cost, depth)?));
    }
    Ok(Value::record(members))
}

/// What was stored before is not copied. Alone it is no deeper than it was; inside something new it may be, and a lane
/// that takes `[lane]` again and again would grow without end.
fn shared(depth: usize, check: impl FnOnce(usize) -> Result<(), Fault>) -> Result<(), Fault> {
    if depth == 0 { Ok(()) } else { check(depth) }
}

fn within(value: &Value, cost: &mut Cost, depth: usize) -> Result<(), Fault> {
    match value {
        Value::List(items) => within_list(items, cost, depth),
        Value::Record(record) => within_record(record, cost, depth),
        _ => Ok(()),
    }
}

fn within_list(items: &[Value], cost: &mut Cost, depth: usize) -> Result<(), Fault> {
    let depth = deeper(depth)?;
    cost.charge(items.len())?;
    items.iter().try_for_each(|item| within(item, cost, depth))
}

fn within_record(record: &Record, cost: &mut Cost, depth: usize) -> Result<(), Fault> {
    let depth = deeper(depth)?;
    cost.charge(record.members().len())?;
    record.members().iter().try_for_each(|(_, value)| within(value, cost, depth))
}
