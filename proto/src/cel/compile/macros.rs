//! The macros. The parser has turned the standard ones into loops of its own, whose shapes are known here.

use super::{Compiled, Compiler};
use crate::cel::Error;
use crate::cel::node::{Act, Node, Walk};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue};

impl Compiler<'_> {
    pub(super) fn walk(&mut self, expr: &IdedExpr, walk: &ComprehensionExpr) -> Compiled {
        let Some(shape) = shape(walk) else {
            return Err(self.error(expr, "this macro is not supported"));
        };
        let over = self.node(&walk.iter_range)?;
        let act = self.within(&walk.iter_var, |compiler| compiler.act(shape))?;
        Ok(Node::Walk(Box::new(Walk { over, act })))
    }

    fn act(&mut self, shape: Shape<'_>) -> Result<Act, Error> {
        Ok(match shape {
            Shape::All(test) => Act::All(self.node(test)?),
            Shape::Exists(test) => Act::Exists(self.node(test)?),
            Shape::ExistsOne(test) => Act::ExistsOne(self.node(test)?),
            Shape::Map { test, make } => {
                let test = test.map(|test| self.node(test)).transpose()?;
                match self.node(make)? {
                    // `filter(x, p)` comes as `map(x, p, x)`.
                    Node::Local(at) if at + 1 == self.locals.len() => match test {
                        Some(test) => Act::Filter(test),
                        None => Act::Map { test: None, make: Node::Local(at) },
                    },
                    make => Act::Map { test, make },
                }
            }
        })
    }

    /// With one more variable.
    fn within<T>(
        &mut self,
        variable: &str,
        compile: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.locals.push(variable.to_owned());
        let compiled = compile(self);
        self.locals.pop();
        compiled
    }

    pub(super) fn optional_map(
        &mut self,
        name: &str,
        target: &IdedExpr,
        variable: &IdedExpr,
        make: &IdedExpr,
    ) -> Compiled {
        let of = self.node(target)?;
        let variable = self.variable(variable)?;
        let make = self.within(&variable, |compiler| compiler.node(make))?;
        Ok(Node::OptionalMap { of: Box::new([of, make]), flat: name == "optFlatMap" })
    }

    pub(super) fn sort_by(&mut self, target: &IdedExpr, variable: &IdedExpr, key: &IdedExpr) -> Compiled {
        let over = self.node(target)?;
        let variable = self.variable(variable)?;
        let act = self.within(&variable, |compiler| Ok(Act::SortBy(compiler.node(key)?)))?;
        Ok(Node::Walk(Box::new(Walk { over, act })))
    }

    fn variable(&self, expr: &IdedExpr) -> Result<String, Error> {
        match &expr.expr {
            Expr::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
            _ => Err(self.error(expr, "the name of a variable is expected here")),
        }
    }
}

#[derive(Clone, Copy)]
enum Shape<'e> {
    All(&'e IdedExpr),
    Exists(&'e IdedExpr),
    ExistsOne(&'e IdedExpr),
    Map { test: Option<&'e IdedExpr>, make: &'e IdedExpr },
}

/// What a loop begins with says which macro it was.
fn shape(walk: &ComprehensionExpr) -> Option<Shape<'_>> {
    let Expr::Call(step) = &walk.loop_step.expr else { return None };
    match &walk.accu_init.expr {
        Expr::Literal(LiteralValue::Boolean(start)) => {
            let [_, test] = &step.args[..] else { return None };
            Some(if *start.inner() { Shape::All(test) } else { Shape::Exists(test) })
        }
        Expr::Literal(LiteralValue::Int(_)) => Some(Shape::ExistsOne(step.args.first()?)),
        Expr::List(_) => match (step.func_name.as_str(), &step.args[..]) {
            ("_?_:_", [test, add, _]) => Some(Shape::Map { test: Some(test), make: added(add)? }),
            _ => Some(Shape::Map { test: None, make: added(&walk.loop_step)? }),
        },
        _ => None,
    }
}

/// `f` of `result + [f]`.
fn added(expr: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(CallExpr { args, .. }) = &expr.expr else { return None };
    match &args.last()?.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}
