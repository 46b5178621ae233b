//! From the syntax tree to [`Node`]s: names become places, constants are built once, and what does not exist is an
//! error here and not when a command comes.

mod call;
mod macros;

use super::node::{Binary, Const, Entry, Item, Node};
use super::parse::{self, Parsed, Places};
use super::val::Kind;
use super::{Error, Name, Names};
use crate::value::{Record, Text, Value};
use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr, ListExpr, LiteralValue, SelectExpr};

/// The most nodes in one another: chains such as `a + b + c` count as well.
const DEPTH_MAX: usize = 200;

pub fn compile(text: &str, names: &Names) -> Result<Node, Error> {
    let Parsed { root, places } = parse::parse(text)?;
    Compiler { places, names, locals: Vec::new(), depth: 0 }.node(&root)
}

struct Compiler<'t> {
    places: Places<'t>,
    names: &'t Names,
    /// Variables of the macros around, the outermost first.
    locals: Vec<String>,
    depth: usize,
}

type Compiled = Result<Node, Error>;

impl Compiler<'_> {
    fn node(&mut self, expr: &IdedExpr) -> Compiled {
        if self.depth == DEPTH_MAX {
            return Err(self.error(expr, "the expression is too long a chain, or nested too deeply"));
        }
        self.depth += 1;
        let node = self.any(expr);
        self.depth -= 1;
        node
    }

    fn any(&mut self, expr: &IdedExpr) -> Compiled {
        match &expr.expr {
            Expr::Ident(name) => self.name(expr, name),
            Expr::Literal(literal) => Ok(Node::Const(constant(literal))),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(&map.entries),
            Expr::Comprehension(walk) => self.walk(expr, walk),
            Expr::Struct(message) => Err(self.error(
                expr,
                format!(
                    "message types are not supported, so {}{{..}} cannot be constructed: use a map",
                    message.type_name
                ),
            )),
            Expr::Unspecified => Err(self.error(expr, "this is no expression")),
        }
    }

    fn error(&self, expr: &IdedExpr, error: impl Into<String>) -> Error {
        Error { at: self.places.node(expr.id), error: error.into() }
    }

    fn error_at(&self, expr: &IdedExpr, name: &str, error: impl Into<String>) -> Error {
        Error { at: self.places.name(expr.id, name), error: error.into() }
    }

    /// A leading dot passes the variables of macros by.
    fn name(&self, expr: &IdedExpr, name: &str) -> Compiled {
        let outer = name.strip_prefix('.');
        let local = self.locals.iter().rposition(|local| local == name);
        if let (Some(at), None) = (local, outer) {
            return Ok(Node::Local(at));
        }
        let name = outer.unwrap_or(name);
        Ok(match name {
            "event" => Node::Event,
            "item" if self.names.item => Node::Item,
            "key" if self.names.key => Node::Key,
            "agent" => Node::Agent,
            "here" => Node::Here,
            "sender" => Node::Sender,
            "now" => Node::Now,
            _ => match (Kind::ALL.into_iter().find(|kind| kind.name() == name), self.lane(name)) {
                (Some(kind), _) => Node::Const(Const::Type(kind)),
                (None, Some(Name { lane, map: false, double: false, .. })) => Node::Lane(*lane),
                (None, Some(Name { lane, map: false, double: true, .. })) => Node::DoubleLane(*lane),
                (None, Some(Name { lane, map: true, double: false, .. })) => Node::MapLane(*lane),
                (None, Some(Name { lane, map: true, double: true, .. })) => Node::DoubleMapLane(*lane),
                (None, None) => return Err(self.error(expr, self.unknown(expr, name))),
            },
        })
    }

    fn lane(&self, name: &str) -> Option<&Name> {
        self.names.lanes.iter().find(|lane| lane.name == name)
    }

    fn unknown(&self, expr: &IdedExpr, name: &str) -> String {
        let lanes: Vec<String> = self.names.lanes.iter().map(|lane| format!("`{}`", lane.name)).collect();
        let item = if self.names.item { ", `item`" } else { "" };
        let key = if self.names.key { ", `key`" } else { "" };
        let known = format!("`event`, `agent`, `here`, `sender`, `now`{key}{item}");
        let offer = self.offer(expr, name);
        match &lanes[..] {
            [] => format!("there is no `{name}` here, only {known}{offer}"),
            _ => format!("there is no `{name}` here, only {known} and the lanes {}{offer}", lanes.join(", ")),
        }
    }

    /// What may be meant by a name that there is not. What is followed by a member is no text.
    fn offer(&self, expr: &IdedExpr, name: &str) -> String {
        if let Some(own) = parse::foreign(name) {
            format!("; {own}")
        } else if name == "item" {
            "; `item` is there in a step with `each`, but not in `each` itself".into()
        } else if name == "key" {
            "; `key` is there in a rule of a timer".into()
        } else if self.places.is_whole(name) {
            format!(
                "; write \"'{name}'\" if a text is meant: the quotes of YAML are not those of the expression"
            )
        } else if matches!(self.places.after(expr.id, name), Some('.' | '[' | '(')) {
            String::new()
        } else {
            format!("; write '{name}' if a text is meant")
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Compiled {
        if let Some(kind) = self.named_kind(expr) {
            return Ok(Node::Const(Const::Type(kind)));
        }
        let of = Box::new(self.node(&select.operand)?);
        let name = Value::text(&select.field);
        Ok(if select.test { Node::Has(of, name) } else { Node::Member(of, name) })
    }

    /// `google.protobuf.Timestamp`.
    fn named_kind(&self, expr: &IdedExpr) -> Option<Kind> {
        let Expr::Select(last) = &expr.expr else { return None };
        let Expr::Select(middle) = &last.operand.expr else { return None };
        match &middle.operand.expr {
            Expr::Ident(first)
                if first == "google" && !self.locals.contains(first) && self.lane(first).is_none() =>
            {
                let name = format!("google.{}.{}", middle.field, last.field);
                Kind::ALL.into_iter().find(|kind| kind.name() == name)
            }
            _ => None,
        }
    }

    fn list(&mut self, list: &ListExpr) -> Compiled {
        let mut items = Vec::with_capacity(list.elements.len());
        for (at, element) in list.elements.iter().enumerate() {
            items.push(Item { value: self.node(element)?, optional: list.optional_indices.contains(&at) });
        }
        Ok(match constant_list(&items) {
            Some(values) => Node::Const(Const::List(values.into())),
            None => Node::List(items.into()),
        })
    }

    fn map(&mut self, exprs: &[IdedEntryExpr]) -> Compiled {
        let mut entries = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let EntryExpr::MapEntry(entry) = &expr.expr else { continue };
            let (key, value) = (self.node(&entry.key)?, self.node(&entry.value)?);
            entries.push(Entry { key, value, optional: entry.optional });
        }
        Ok(match constant_record(&entries) {
            Some(record) => Node::Const(Const::Record(record)),
            None => Node::Map(entries.into()),
        })
    }

    fn two(&mut self, args: &[IdedExpr]) -> Result<Box<[Node; 2]>, Error> {
        Ok(Box::new([self.node(&args[0])?, self.node(&args[1])?]))
    }
}

fn constant(literal: &LiteralValue) -> Const {
    match literal {
        LiteralValue::Null => Const::Null,
        LiteralValue::Boolean(value) => Const::Bool(*value.inner()),
        LiteralValue::Int(value) => Const::Int(*value.inner()),
        LiteralValue::UInt(value) => Const::Uint(*value.inner()),
        LiteralValue::Double(value) => Const::Double(*value.inner()),
        LiteralValue::String(value) => Const::Text(Text::new(value.inner())),
        LiteralValue::Bytes(value) => Const::Bytes(value.inner().into()),
    }
}

/// The value of a node that is the same every time.
fn stored(node: &Node) -> Option<Value> {
    match node {
        Node::Const(constant) => constant.stored(),
        _ => None,
    }
}

fn constant_list(items: &[Item]) -> Option<Vec<Value>> {
    items.iter().map(|item| if item.optional { None } else { stored(&item.value) }).collect()
}

/// In key order, as maps are. One with a name twice is left, to fail when it is evaluated.
fn constant_record(entries: &[Entry]) -> Option<Record> {
    let mut members = Vec::with_capacity(entries.len());
    for entry in entries {
        match (&entry.key, stored(&entry.value)) {
            (Node::Const(Const::Text(name)), Some(value)) if !entry.optional => {
                members.push((name.clone(), value));
            }
            _ => return None,
        }
    }
    members.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    Record::new(members).ok()
}

/// An operator of two operands, as the parser names it.
fn binary(name: &str) -> Option<Binary> {
    Some(match name {
        "_+_" => Binary::Add,
        "_-_" => Binary::Subtract,
        "_*_" => Binary::Multiply,
        "_/_" => Binary::Divide,
        "_%_" => Binary::Remainder,
        "_==_" => Binary::Equal,
        "_!=_" => Binary::NotEqual,
        "_<_" => Binary::Less,
        "_<=_" => Binary::LessOrEqual,
        "_>_" => Binary::Greater,
        "_>=_" => Binary::GreaterOrEqual,
        "@in" => Binary::In,
        _ => return None,
    })
}
