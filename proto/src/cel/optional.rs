//! The functions of optionals. `or`, `orValue` and the macros evaluate their arguments themselves.

use super::function::{Function, method, of, wrong};
use super::val::Val;
use super::{Cost, Fault};

pub static FUNCTIONS: &[Function] = &[
    of("optional", "none", 0, |_, _| Ok(Val::Optional(None))),
    of("optional", "of", 1, |_, args| Ok(Val::optional(Some(args[0].clone())))),
    of("optional", "ofNonZeroValue", 1, |_, args| {
        Ok(Val::optional(Some(&args[0]).filter(|value| !value.is_zero()).cloned()))
    }),
    method("hasValue", 1, 1, has_value),
    method("value", 1, 1, value),
];

fn has_value<'a>(_: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    match &args[0] {
        Val::Optional(inner) => Ok(Val::Bool(inner.is_some())),
        other => Err(wrong("hasValue", other)),
    }
}

fn value<'a>(_: &mut Cost, args: &[Val<'a>]) -> Result<Val<'a>, Fault> {
    match &args[0] {
        Val::Optional(Some(inner)) => Ok((**inner).clone()),
        Val::Optional(None) => Err(Fault("the optional has no value".into())),
        other => Err(wrong("value", other)),
    }
}
