//! The macros. The parser has turned the standard ones into loops of its own, whose shapes are known here.

use super::{Compiled, Compiler};
use crate::cel::Error;
use crate::cel::node::{Act, Each, Make, Node, Walk};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue};

impl Compiler<'_> {
    pub(super) fn walk(&mut self, expr: &IdedExpr, walk: &ComprehensionExpr) -> Compiled {
        let Some(shape) = shape(walk) else {
            return Err(self.error(expr, "this macro is not supported"));
        };
        let over = self.node(&walk.iter_range)?;
        let act = self.within([&walk.iter_var], |compiler| compiler.act(shape))?;
        Ok(Node::Walk(Box::new(Walk { over, act })))
    }

    fn act(&mut self, shape: Shape<'_>) -> Result<Act, Error> {
        Ok(match shape {
            Shape::All(test) => Act::Items(Each::All(self.node(test)?)),
            Shape::Exists(test) => Act::Items(Each::Exists(self.node(test)?)),
            Shape::ExistsOne(test) => Act::Items(Each::ExistsOne(self.node(test)?)),
            Shape::Map { test, make } => match self.make(test, make)? {
                // `filter(x, p)` comes as `map(x, p, x)`.
                Make { test: Some(test), make: Node::Local(at) } if at + 1 == self.locals.len() => {
                    Act::Filter(test)
                }
                make => Act::Items(Each::List(make)),
            },
        })
    }

    fn make(&mut self, test: Option<&IdedExpr>, make: &IdedExpr) -> Result<Make, Error> {
        Ok(Make { test: test.map(|test| self.node(test)).transpose()?, make: self.node(make)? })
    }

    /// With more variables.
    fn within<T, const N: usize>(
        &mut self,
        variables: [&str; N],
        compile: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.locals.extend(variables.map(str::to_owned));
        let compiled = compile(self);
        self.locals.truncate(self.locals.len() - N);
        compiled
    }

    /// `all`, `exists` and `existsOne` with two variables.
    pub(super) fn quantify_pairs(
        &mut self,
        name: &str,
        target: &IdedExpr,
        variables: [&IdedExpr; 2],
        test: &IdedExpr,
    ) -> Compiled {
        self.pairs(target, variables, |compiler| {
            let test = compiler.node(test)?;
            Ok(Act::Pairs(match name {
                "all" => Each::All(test),
                "exists" => Each::Exists(test),
                _ => Each::ExistsOne(test),
            }))
        })
    }

    pub(super) fn transform(
        &mut self,
        name: &str,
        target: &IdedExpr,
        variables: [&IdedExpr; 2],
        test: Option<&IdedExpr>,
        make: &IdedExpr,
    ) -> Compiled {
        self.pairs(target, variables, |compiler| {
            let make = compiler.make(test, make)?;
            Ok(match name {
                "transformList" => Act::Pairs(Each::List(make)),
                "transformMap" => Act::Values(make),
                _ => Act::Entries(make),
            })
        })
    }

    fn pairs(
        &mut self,
        target: &IdedExpr,
        [first, second]: [&IdedExpr; 2],
        act: impl FnOnce(&mut Self) -> Result<Act, Error>,
    ) -> Compiled {
        let over = self.node(target)?;
        let variables = [self.variable(first)?, self.variable(second)?];
        if variables[0] == variables[1] {
            return Err(self.error(second, "the two variables of a macro have different names"));
        }
        let act = self.within([&variables[0], &variables[1]], act)?;
        Ok(Node::Walk(Box::new(Walk { over, act })))
    }

    pub(super) fn bind(&mut self, variable: &IdedExpr, value: &IdedExpr, make: &IdedExpr) -> Compiled {
        let variable = self.variable(variable)?;
        let value = self.node(value)?;
        let make = self.within([&variable], |compiler| compiler.node(make))?;
        Ok(Node::Bind(Box::new([value, make])))
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
        let make = self.within([&variable], |compiler| compiler.node(make))?;
        Ok(Node::OptionalMap { of: Box::new([of, make]), flat: name == "optFlatMap" })
    }

    pub(super) fn sort_by(&mut self, target: &IdedExpr, variable: &IdedExpr, key: &IdedExpr) -> Compiled {
        let over = self.node(target)?;
        let variable = self.variable(variable)?;
        let act = self.within([&variable], |compiler| Ok(Act::SortBy(compiler.node(key)?)))?;
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
