//! The `lists` library.

use super::function::{Function, method, of, whole, wrong};
use super::val::{List, Val};
use super::{Cost, Fault, compare};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Function] = &[
    of("lists", "range", 1, range),
    method("distinct", 1, 1, distinct),
    method("first", 1, 1, |_, args| Ok(Val::optional(items("first", args)?.get(0)))),
    method("flatten", 1, 2, flatten),
    method("last", 1, 1, last),
    method("slice", 3, 3, slice),
    method("sort", 1, 1, sort),
];

fn items<'v, 'a>(name: &str, args: &'v [Val<'a>]) -> Result<&'v List<'a>, Fault> {
    match &args[0] {
        Val::List(list) => Ok(list),
        other => Err(wrong(name, other)),
    }
}

fn range<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let end = whole("lists.range", args, 0)?.max(0);
    cost.charge(usize::try_from(end).unwrap_or(usize::MAX))?;
    Ok(Val::list((0..end).map(Val::Int).collect()))
}

fn last<'a>(_: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let list = items("last", args)?;
    Ok(Val::optional(list.len().checked_sub(1).and_then(|at| list.get(at))))
}

fn slice<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let list = items("slice", args)?;
    let (start, end) = (whole("slice", args, 1)?, whole("slice", args, 2)?);
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(from), Ok(to)) if from <= to && to <= list.len() => {
            cost.charge(to - from)?;
            Ok(Val::list((from..to).filter_map(|at| list.get(at)).collect()))
        }
        _ => Err(Fault(format!("{start} to {end} of a list of {}", list.len()))),
    }
}

pub fn reverse<'a>(list: &List<'a>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    cost.charge(list.len())?;
    Ok(Val::list((0..list.len()).rev().filter_map(|at| list.get(at)).collect()))
}

fn flatten<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let list = items("flatten", args)?;
    let depth = match args.len() {
        1 => 1,
        _ => whole("flatten", args, 1)?,
    };
    if depth < 0 {
        return Err(Fault("`flatten` takes no negative depth".into()));
    }
    let mut flat = Vec::new();
    flatten_into(list, depth, &mut flat, cost)?;
    Ok(Val::list(flat))
}

/// As deep as the value is at most, and that is bounded.
fn flatten_into<'a>(
    list: &List<'a>,
    depth: i64,
    flat: &mut Vec<Val<'a>>,
    cost: &mut Cost,
) -> Result<(), Fault> {
    for item in list.iter() {
        cost.charge(1)?;
        match item {
            Val::List(inner) if depth > 0 => flatten_into(&inner, depth - 1, flat, cost)?,
            other => flat.push(other),
        }
    }
    Ok(())
}

fn sort<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    sort_by_key(items("sort", args)?.iter().map(|item| (item.clone(), item)).collect(), cost)
}

/// Items in the order of their keys, those of equal keys as they came.
pub fn sort_by_key<'a>(mut keyed: Vec<(Val<'a>, Val<'a>)>, cost: &mut Cost) -> Result<Val<'a>, Fault> {
    charge_sort(keyed.iter().map(|(key, _)| key), cost)?;
    if !sortable(keyed.iter().map(|(key, _)| key)) {
        return Err(Fault(
            "a list is sorted by numbers, strings, bools, bytes or times, all of one type".into(),
        ));
    }
    keyed.sort_by(|a, b| compare::exact(&a.0, &b.0));
    Ok(Val::list(keyed.into_iter().map(|(_, item)| item).collect()))
}

pub fn charge_sort<'v, 'a: 'v>(
    keys: impl Iterator<Item = &'v Val<'a>>,
    cost: &mut Cost,
) -> Result<(), Fault> {
    let (mut count, mut bytes) = (0_usize, 0);
    for key in keys {
        count += 1;
        bytes += key.as_text().map_or(0, str::len);
    }
    let rounds = count.checked_ilog2().unwrap_or(0) as usize + 1;
    cost.charge((count + bytes / 64).saturating_mul(rounds))
}

/// Whether [`compare::exact`] is an order of all of them.
fn sortable<'v, 'a: 'v>(mut keys: impl Iterator<Item = &'v Val<'a>>) -> bool {
    let Some(first) = keys.next().map(compare::class) else { return true };
    first.is_some() && keys.all(|key| compare::class(key) == first)
}

/// The first of each that are equal.
fn distinct<'a>(cost: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    let list: Vec<Val<'a>> = items("distinct", args)?.iter().collect();
    if sortable(list.iter()) {
        charge_sort(list.iter(), cost)?;
        let mut order: Vec<usize> = (0..list.len()).collect();
        order.sort_by(|a, b| compare::exact(&list[*a], &list[*b]));
        order.dedup_by(|b, a| compare::exact(&list[*a], &list[*b]) == Ordering::Equal);
        order.sort_unstable();
        return Ok(Val::list(order.into_iter().map(|at| list[at].clone()).collect()));
    }
    let mut kept: Vec<Val<'a>> = Vec::new();
    'items: for item in list {
        for other in &kept {
            cost.charge(1)?;
            if compare::equal(&item, other, cost)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Ok(Val::list(kept))
}
