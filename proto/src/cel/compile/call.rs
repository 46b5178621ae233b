//! Operators and calls.

use super::{Compiled, Compiler, binary};
use crate::cel::function::{self, Form, Function};
use crate::cel::library::{self, Found};
use crate::cel::node::{Const, Item, Node};
use crate::cel::{Error, parse, text};
use crate::value::Value;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

/// The one macro that is called by the name of a library.
const BIND: (&str, &str) = ("cel", "bind");

/// What is wrong with a macro of so many arguments, if it is one.
fn macro_error(name: &str, arguments: usize) -> Option<String> {
    Some(match name {
        "all" | "exists" | "exists_one" | "existsOne" => format!("`{name}` takes 2 or 3 arguments"),
        "filter" | "map" if arguments > 2 => {
            format!("`{name}` has one variable: with two it is `transformList`, of maps `transformMap`")
        }
        "filter" => "`filter` takes 2 arguments".into(),
        "map" => "`map` takes 2 or 3 arguments".into(),
        "transformList" | "transformMap" | "transformMapEntry" => format!("`{name}` takes 3 or 4 arguments"),
        "optMap" | "optFlatMap" | "sortBy" => format!("`{name}` takes 2 arguments"),
        "or" | "orValue" => format!("`{name}` takes 1 argument"),
        _ => return None,
    })
}

impl Compiler<'_> {
    pub(super) fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Compiled {
        match &call.target {
            None => self.operator(expr, call),
            Some(target) => match self.space(target, &call.func_name) {
                Some(space) => self.of_space(expr, space, call),
                None => self.method(expr, target, call),
            },
        }
    }

    fn operator(&mut self, expr: &IdedExpr, call: &CallExpr) -> Compiled {
        let args = &call.args;
        if let (Some(op), [_, _]) = (binary(&call.func_name), &args[..]) {
            return Ok(Node::Binary(op, self.two(args)?));
        }
        match (call.func_name.as_str(), &args[..]) {
            ("_&&_", [_, _]) => Ok(Node::And(self.two(args)?)),
            ("_||_", [_, _]) => Ok(Node::Or(self.two(args)?)),
            ("_[_]", [_, _]) => Ok(Node::Index(self.two(args)?)),
            ("_[?_]", [_, _]) => Ok(Node::OptionalIndex(self.two(args)?)),
            ("!_", [of]) => Ok(Node::Not(Box::new(self.node(of)?))),
            ("-_", [of]) => Ok(Node::Negate(Box::new(self.node(of)?))),
            ("_?_:_", [test, yes, no]) => {
                Ok(Node::If(Box::new([self.node(test)?, self.node(yes)?, self.node(no)?])))
            }
            ("_?._", [of, name]) => self.optional_member(expr, of, name),
            ("matches", [of, pattern]) => self.matches(expr, of, pattern),
            (name, _) => {
                let name = name.strip_prefix('.').unwrap_or(name);
                let function = self.find(expr, Form::Global, name, args.len())?;
                self.arguments(function, None, args)
            }
        }
    }

    fn optional_member(&mut self, expr: &IdedExpr, of: &IdedExpr, name: &IdedExpr) -> Compiled {
        match &name.expr {
            Expr::Literal(LiteralValue::String(name)) => {
                Ok(Node::OptionalMember(Box::new(self.node(of)?), Value::text(name.inner())))
            }
            _ => Err(self.error(expr, "the name of a member follows `.?`")),
        }
    }

    /// A constant pattern is compiled here, once.
    fn matches(&mut self, expr: &IdedExpr, of: &IdedExpr, pattern: &IdedExpr) -> Compiled {
        let (of, compiled) = (self.node(of)?, self.node(pattern)?);
        match &compiled {
            Node::Const(Const::Text(constant)) => {
                let regex = text::pattern(constant).map_err(|fault| self.error(pattern, fault.0))?;
                Ok(Node::Matches(Box::new(of), Box::new(regex)))
            }
            _ => Ok(Node::Call(self.find(expr, Form::Method, "matches", 2)?, Box::new([of, compiled]))),
        }
    }

    /// The library that a call names. Where a variable has that name, only what the library has is the library's.
    fn space(&self, target: &IdedExpr, function: &str) -> Option<&'static str> {
        let Expr::Ident(name) = &target.expr else { return None };
        let space = function::SPACES.into_iter().find(|space| space == name)?;
        let variable = self.locals.contains(name) || self.lane(name).is_some();
        let known = (space, function) == BIND || library::has(Form::Of(space), function);
        (known || !variable).then_some(space)
    }

    fn of_space(&mut self, expr: &IdedExpr, space: &'static str, call: &CallExpr) -> Compiled {
        let name = call.func_name.as_str();
        match (name, &call.args[..]) {
            (_, [variable, value, make]) if (space, name) == BIND => self.bind(variable, value, make),
            _ if (space, name) == BIND => Err(self.error_at(
                expr,
                name,
                "`cel.bind` takes 3 arguments: a variable, its value, and what sees it",
            )),
            ("greatest" | "least", args @ [_, _, ..]) if space == "math" => self.of_many(expr, name, args),
            (_, args) => {
                let function = self.find(expr, Form::Of(space), name, args.len())?;
                self.arguments(function, None, args)
            }
        }
    }

    /// `math.greatest(a, b, ..)` is `math.greatest([a, b, ..])`.
    fn of_many(&mut self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Compiled {
        let function = self.find(expr, Form::Of("math"), name, 1)?;
        let items: Result<Vec<Item>, Error> =
            args.iter().map(|arg| Ok(Item { value: self.node(arg)?, optional: false })).collect();
        Ok(Node::Call(function, Box::new([Node::List(items?.into())])))
    }

    fn method(&mut self, expr: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Compiled {
        let (name, args) = (call.func_name.as_str(), &call.args[..]);
        match (name, args) {
            ("optMap" | "optFlatMap", [variable, make]) => self.optional_map(name, target, variable, make),
            ("or" | "orValue", [other]) => {
                let of = Box::new([self.node(target)?, self.node(other)?]);
                Ok(Node::OptionalOr { of, value: name == "orValue" })
            }
            ("sortBy", [variable, key]) => self.sort_by(target, variable, key),
            ("matches", [pattern]) => self.matches(expr, target, pattern),
            ("all" | "exists" | "exists_one" | "existsOne", [first, second, test]) => {
                self.quantify_pairs(name, target, [first, second], test)
            }
            ("transformList" | "transformMap" | "transformMapEntry", [first, second, rest @ .., make])
                if rest.len() < 2 =>
            {
                self.transform(name, target, [first, second], rest.first(), make)
            }
            _ if let Some(error) = macro_error(name, args.len()) => Err(self.error_at(expr, name, error)),
            _ => {
                let function = self.find(expr, Form::Method, name, args.len() + 1)?;
                self.arguments(function, Some(target), args)
            }
        }
    }

    fn arguments(
        &mut self,
        function: &'static Function,
        target: Option<&IdedExpr>,
        args: &[IdedExpr],
    ) -> Compiled {
        let nodes: Result<Vec<Node>, Error> =
            target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        Ok(Node::Call(function, nodes?.into()))
    }

    fn find(
        &self,
        expr: &IdedExpr,
        form: Form,
        name: &str,
        arguments: usize,
    ) -> Result<&'static Function, Error> {
        let full = match form {
            Form::Of(space) => format!("{space}.{name}"),
            Form::Global | Form::Method => name.to_owned(),
        };
        let error = match library::find(form, name, arguments) {
            Found::Function(function) => return Ok(function),
            Found::OtherArguments(counts) => format!("`{full}` takes {counts} arguments"),
            Found::OtherForm(function) => format!("`{full}` is written {function}"),
            Found::Nothing => match parse::foreign(&full) {
                Some(own) => format!("there is no function `{full}`: {own}"),
                None => format!("there is no function `{full}`"),
            },
        };
        Err(self.error_at(expr, name, error))
    }
}
