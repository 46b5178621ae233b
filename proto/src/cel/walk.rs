//! Macros over lists and over the keys of maps, in order.

use super::eval::Run;
use super::node::{Act, Node, Walk};
use super::val::{Map, Val};
use super::{Fault, list};

impl<'a> Run<'a, '_> {
    pub fn walk(&mut self, walk: &'a Walk) -> Result<Val<'a>, Fault> {
        let over = self.eval(&walk.over)?;
        let depth = self.locals.len();
        let walked = match over {
            Val::List(list) => self.each(list.iter(), &walk.act),
            Val::Map(map) => {
                // A record is put into order first.
                self.cost.charge(if let Map::Record(record) = &map {
                    record.members().len() / 8
                } else {
                    0
                })?;
                self.each(map.entries().map(|(key, _)| key), &walk.act)
            }
            other => Err(Fault(format!("a macro walks a list or a map, not {}", other.kind()))),
        };
        // A fault may be absorbed outside.
        self.locals.truncate(depth);
        walked
    }

    fn each(&mut self, items: impl Iterator<Item = Val<'a>>, act: &'a Act) -> Result<Val<'a>, Fault> {
        match act {
            Act::All(test) => self.quantify(items, test, false),
            Act::Exists(test) => self.quantify(items, test, true),
            Act::ExistsOne(test) => {
                let mut count = 0;
                for item in items {
                    count += usize::from(self.test(item, test)?);
                }
                Ok(Val::Bool(count == 1))
            }
            Act::Filter(test) => {
                let mut kept = Vec::new();
                for item in items {
                    if self.test(item.clone(), test)? {
                        kept.push(item);
                    }
                }
                Ok(Val::list(kept))
            }
            Act::Map { test, make } => self.make(items, test.as_ref(), make).map(Val::list),
            Act::SortBy(key) => {
                let mut keyed = Vec::new();
                for item in items {
                    let key = self.with(item.clone(), |run| run.eval(key))?;
                    keyed.push((key, item));
                }
                list::sort_by_key(keyed, self.cost)
            }
        }
    }

    fn with<T>(
        &mut self,
        item: Val<'a>,
        eval: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.cost.charge(1)?;
        self.locals.push(item);
        let result = eval(self);
        self.locals.pop();
        result
    }

    fn test(&mut self, item: Val<'a>, test: &'a Node) -> Result<bool, Fault> {
        self.with(item, |run| run.bool(test))
    }

    /// An item that decides hides the faults of others.
    fn quantify(
        &mut self,
        items: impl Iterator<Item = Val<'a>>,
        test: &'a Node,
        decides: bool,
    ) -> Result<Val<'a>, Fault> {
        let mut fault = None;
        for item in items {
            match self.test(item, test) {
                Ok(value) if value == decides => return Ok(Val::Bool(decides)),
                Ok(_) => {}
                Err(_) if self.cost.0 == 0 => return Err(self.cost.exhausted()),
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => Ok(Val::Bool(!decides)),
        }
    }

    fn make(
        &mut self,
        items: impl Iterator<Item = Val<'a>>,
        test: Option<&'a Node>,
        make: &'a Node,
    ) -> Result<Vec<Val<'a>>, Fault> {
        let mut made = Vec::new();
        for item in items {
            let value = self.with(item, |run| match test {
                Some(test) if !run.bool(test)? => Ok(None),
                _ => run.eval(make).map(Some),
            })?;
            made.extend(value);
        }
        Ok(made)
    }
}
