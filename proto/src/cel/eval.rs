//! The evaluator: it walks the tree of nodes and charges for each.

use super::compare::Compared;
use super::function::{ARGUMENTS_MAX, Function};
use super::node::{Binary, Entry, Item, Node};
use super::number::{self, arithmetic, mismatch, negate};
use super::val::{Kind, List, Map, Val, key_order};
use super::{Cost, Fault, Scope, compare, text, time};
use crate::value::Value;
use std::cmp::Ordering;
use std::rc::Rc;

pub struct Run<'a, 'c> {
    scope: &'a dyn Scope,
    pub cost: &'c mut Cost,
    /// Variables of the macros around, the outermost first. What `cel.bind` could not evaluate is a fault where it is
    /// used.
    pub locals: Vec<Evaluated<'a>>,
}

pub type Evaluated<'a> = Result<Val<'a>, Fault>;

impl<'a, 'c> Run<'a, 'c> {
    pub fn new(scope: &'a dyn Scope, cost: &'c mut Cost) -> Self {
        Run { scope, cost, locals: Vec::new() }
    }

    pub fn eval(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.cost.charge(1)?;
        match node {
            Node::Const(constant) => Ok(constant.val()),
            Node::Local(at) => self.locals[*at].clone(),
            Node::Lane(lane) => Ok(Val::of(self.scope.value(*lane))),
            Node::DoubleLane(lane) => Ok(Val::double_of(self.scope.value(*lane))),
            Node::MapLane(lane) => Ok(Val::Map(Map::Lane(self.scope.map(*lane)))),
            Node::DoubleMapLane(lane) => Ok(Val::Map(Map::DoubleLane(self.scope.map(*lane)))),
            Node::Event => Ok(Val::of(self.scope.event())),
            Node::Item => Ok(Val::of(self.scope.item())),
            Node::Key => Ok(Val::of(self.scope.key())),
            Node::Agent => Ok(Val::of(self.scope.agent())),
            Node::Here => Ok(Val::Str(self.scope.here())),
            Node::Sender => Ok(Val::Str(self.scope.sender())),
            Node::Now => time::of_millis(self.scope.now_ms()),
            Node::Member(of, name) => self.member(of, name),
            Node::OptionalMember(of, name) => self.optional_member(of, name),
            Node::Has(of, name) => self.has(of, name),
            Node::Index(of) => self.index(of),
            Node::OptionalIndex(of) => self.optional_index(of),
            Node::And(of) => self.absorbing(of, false),
            Node::Or(of) => self.absorbing(of, true),
            Node::If(of) => self.condition(of),
            Node::Not(of) => match self.eval(of)? {
                Val::Bool(value) => Ok(Val::Bool(!value)),
                other => Err(Fault(format!("`!` takes a bool, not {}", other.kind()))),
            },
            Node::Negate(of) => negate(&self.eval(of)?),
            Node::Binary(op, of) => self.binary(*op, of),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Walk(walk) => self.walk(walk),
            Node::Bind(of) => self.bind(of),
            Node::OptionalMap { of, flat } => self.optional_map(of, *flat),
            Node::OptionalOr { of, value } => self.optional_or(of, *value),
            Node::Matches(of, regex) => text::matches(&self.eval(of)?, regex, self.cost),
            Node::Call(function, args) => self.call(function, args),
        }
    }

    /// What is stored, where it lies. Values that pass from hand to hand are what evaluation spends most time on.
    /// `None`: the node makes a value, and has not been charged.
    #[inline]
    fn place(&mut self, node: &'a Node) -> Result<Option<&'a Value>, Fault> {
        let place = match node {
            Node::Lane(lane) => self.scope.value(*lane),
            Node::Event => self.scope.event(),
            Node::Item => self.scope.item(),
            Node::Key => self.scope.key(),
            Node::Agent => self.scope.agent(),
            _ => return Ok(None),
        };
        self.cost.charge(1)?;
        Ok(Some(place))
    }

    /// Not in the frame of `eval`, which is the one that recurs.
    #[inline(never)]
    fn call(&mut self, function: &'static Function, args: &'a [Node]) -> Evaluated<'a> {
        let mut values: [Val<'a>; ARGUMENTS_MAX] = [const { Val::Null }; ARGUMENTS_MAX];
        for (value, arg) in values.iter_mut().zip(args) {
            *value = self.eval(arg)?;
        }
        (function.call)(self.cost, &values[..args.len()])
    }

    #[inline]
    fn binary(&mut self, op: Binary, of: &'a [Node; 2]) -> Evaluated<'a> {
        // Looked at where they are: `?` would move them.
        let a = self.eval(&of[0]);
        let Ok(a) = &a else { return a };
        let b = self.eval(&of[1]);
        let Ok(b) = &b else { return b };
        match op {
            Binary::Equal => compare::equal(a, b, self.cost).map(Val::Bool),
            Binary::NotEqual => compare::equal(a, b, self.cost).map(|equal| Val::Bool(!equal)),
            Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual => {
                match compare::order(a, b, self.cost)? {
                    Compared::Order(order) => Ok(Val::Bool(holds(op, order))),
                    Compared::NotANumber => Ok(Val::Bool(false)),
                    Compared::Unlike => Err(mismatch(op, a, b)),
                }
            }
            Binary::In => self.contained(a, b),
            _ => arithmetic(op, a, b, self.cost),
        }
    }

    fn contained(&mut self, item: &Val<'a>, of: &Val<'a>) -> Evaluated<'a> {
        match of {
            Val::Map(map) => Ok(Val::Bool(map.get(item).is_some())),
            Val::List(list) => {
                for other in list.iter() {
                    self.cost.charge(1)?;
                    if compare::equal(item, &other, self.cost)? {
                        return Ok(Val::Bool(true));
                    }
                }
                Ok(Val::Bool(false))
            }
            other => Err(mismatch(Binary::In, item, other)),
        }
    }

    fn member(&mut self, of: &'a Node, name: &'a Value) -> Evaluated<'a> {
        if let (Some(Value::Record(record)), Value::Text(name)) = (self.place(of)?, name)
            && let Some(value) = record.get(name)
        {
            return Ok(Val::of(value));
        }
        let of = self.eval(of)?;
        match found(&of, name)? {
            Some(value) => Ok(value),
            None => Err(number::absent(&of, &Val::of(name))),
        }
    }

    fn optional_member(&mut self, of: &'a Node, name: &'a Value) -> Evaluated<'a> {
        let of = self.eval(of)?;
        Ok(Val::optional(found_flat(&of, name)?))
    }

    fn has(&mut self, of: &'a Node, name: &'a Value) -> Evaluated<'a> {
        let of = self.eval(of)?;
        Ok(Val::Bool(found_flat(&of, name)?.is_some()))
    }

    fn index(&mut self, of: &'a [Node; 2]) -> Evaluated<'a> {
        let (of, key) = (self.eval(&of[0])?, self.eval(&of[1])?);
        match &of {
            Val::Optional(_) => at_optional(&of, &key),
            _ => number::at(&of, &key)?.ok_or_else(|| number::absent(&of, &key)),
        }
    }

    fn optional_index(&mut self, of: &'a [Node; 2]) -> Evaluated<'a> {
        let (of, key) = (self.eval(&of[0])?, self.eval(&of[1])?);
        at_optional(&of, &key)
    }

    /// `&&` and `||`: the side that decides hides a fault of the other.
    fn absorbing(&mut self, of: &'a [Node; 2], decides: bool) -> Evaluated<'a> {
        let first = match self.bool(&of[0]) {
            Ok(value) if value == decides => return Ok(Val::Bool(decides)),
            first => first,
        };
        match self.bool(&of[1]) {
            Ok(value) if value == decides => Ok(Val::Bool(decides)),
            second => first.and(second).map(Val::Bool),
        }
    }

    pub fn bool(&mut self, node: &'a Node) -> Result<bool, Fault> {
        match self.eval(node) {
            Ok(Val::Bool(value)) => Ok(value),
            Ok(other) => {
                Err(Fault(format!("a condition is a bool, and this one is of type {}", other.kind())))
            }
            Err(fault) => Err(fault),
        }
    }

    fn condition(&mut self, [test, yes, no]: &'a [Node; 3]) -> Evaluated<'a> {
        if self.bool(test)? { self.eval(yes) } else { self.eval(no) }
    }

    fn list(&mut self, items: &'a [Item]) -> Evaluated<'a> {
        self.cost.charge(items.len())?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value)?;
            list.extend(if item.optional { unwrapped(value)? } else { Some(value) });
        }
        Ok(Val::List(List::Built(list.into())))
    }

    fn map(&mut self, entries: &'a [Entry]) -> Evaluated<'a> {
        self.cost.charge(entries.len())?;
        let mut map: Vec<(Val<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, value) = (self.eval(&entry.key)?, self.eval(&entry.value)?);
            if !matches!(key.kind(), Kind::Bool | Kind::Int | Kind::Uint | Kind::Text) {
                return Err(Fault(format!(
                    "the key of a map is a string, int, uint or bool, not {}",
                    key.kind()
                )));
            }
            let value = if entry.optional { unwrapped(value)? } else { Some(value) };
            map.extend(value.map(|value| (key, value)));
        }
        map_of(map)
    }

    /// What the second does not use cannot fail it: other engines evaluate the first when it is used.
    fn bind(&mut self, [of, make]: &'a [Node; 2]) -> Evaluated<'a> {
        let bound = self.eval(of);
        if bound.is_err() && self.cost.0 == 0 {
            return bound;
        }
        self.locals.push(bound);
        let made = self.eval(make);
        self.locals.pop();
        made
    }

    fn optional_map(&mut self, [of, make]: &'a [Node; 2], flat: bool) -> Evaluated<'a> {
        let Some(inner) = optional(self.eval(of)?)? else { return Ok(Val::Optional(None)) };
        self.locals.push(Ok((*inner).clone()));
        let made = self.eval(make);
        self.locals.pop();
        match (made?, flat) {
            (made, false) => Ok(Val::optional(Some(made))),
            (made @ Val::Optional(_), true) => Ok(made),
            (other, true) => Err(Fault(format!("`optFlatMap` makes an optional, not {}", other.kind()))),
        }
    }

    fn optional_or(&mut self, [of, other]: &'a [Node; 2], value: bool) -> Evaluated<'a> {
        match (optional(self.eval(of)?)?, value) {
            (Some(inner), true) => Ok((*inner).clone()),
            (Some(inner), false) => Ok(Val::Optional(Some(inner))),
            (None, true) => self.eval(other),
            (None, false) => Ok(Val::Optional(optional(self.eval(other)?)?)),
        }
    }
}

/// A map of entries in any order.
pub fn map_of<'a>(mut entries: Vec<(Val<'a>, Val<'a>)>) -> Evaluated<'a> {
    entries.sort_by(|a, b| key_order(&a.0, &b.0));
    match entries.windows(2).find(|pair| key_order(&pair[0].0, &pair[1].0) == Ordering::Equal) {
        Some(_) => Err(Fault("a map has a key twice".into())),
        None => Ok(Val::Map(Map::Built(entries.into()))),
    }
}

/// A member of what is in an optional is in an optional.
fn found<'a>(of: &Val<'a>, name: &'a Value) -> Result<Option<Val<'a>>, Fault> {
    match of {
        Val::Map(map) => Ok(map.member(name)),
        Val::Optional(Some(inner)) => Ok(Some(Val::optional(found_flat(inner, name)?))),
        Val::Optional(None) => Ok(Some(Val::Optional(None))),
        other => Err(no_members(other, name)),
    }
}

/// Without an optional in an optional.
fn found_flat<'a>(of: &Val<'a>, name: &'a Value) -> Result<Option<Val<'a>>, Fault> {
    Ok(match found(of, name)? {
        Some(Val::Optional(inner)) if matches!(of, Val::Optional(_)) => inner.map(|inner| (*inner).clone()),
        found => found,
    })
}

fn at_optional<'a>(of: &Val<'a>, key: &Val<'a>) -> Evaluated<'a> {
    match of {
        Val::Optional(None) => Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => at_optional(inner, key),
        other => number::at(other, key).map(Val::optional),
    }
}

fn holds(op: Binary, order: Ordering) -> bool {
    match op {
        Binary::Less => order.is_lt(),
        Binary::LessOrEqual => order.is_le(),
        Binary::Greater => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn optional(value: Val<'_>) -> Result<Option<Rc<Val<'_>>>, Fault> {
    match value {
        Val::Optional(inner) => Ok(inner),
        other => {
            Err(Fault(format!("an optional is wanted here, not {}: read with `.?` or `[?]`", other.kind())))
        }
    }
}

fn unwrapped(value: Val<'_>) -> Result<Option<Val<'_>>, Fault> {
    Ok(optional(value)?.map(|inner| (*inner).clone()))
}

#[cold]
fn no_members(of: &Val<'_>, name: &Value) -> Fault {
    let kind = of.kind();
    match name {
        Value::Text(name) => {
            Fault(format!("no member '{name}': it was looked up on {kind}, which has no members"))
        }
        _ => Fault(format!("{kind} has no members")),
    }
}
