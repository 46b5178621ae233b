//! Macros over lists and maps, in order.

use super::Fault;
use super::eval::{Evaluated, Run, map_of};
use super::list::{charge_sort, sort_by_key};
use super::node::{Act, Each, Make, Node, Walk};
use super::val::{Map, Val};

/// What a macro's variables are while it looks at one item or entry.
trait Variables<'a> {
    fn put(self, locals: &mut Vec<Evaluated<'a>>);
}

impl<'a> Variables<'a> for Val<'a> {
    fn put(self, locals: &mut Vec<Evaluated<'a>>) {
        locals.push(Ok(self));
    }
}

impl<'a> Variables<'a> for (Val<'a>, Val<'a>) {
    fn put(self, locals: &mut Vec<Evaluated<'a>>) {
        locals.extend([Ok(self.0), Ok(self.1)]);
    }
}

impl<'a> Run<'a, '_> {
    pub fn walk(&mut self, walk: &'a Walk) -> Evaluated<'a> {
        match self.eval(&walk.over)? {
            Val::List(list) => {
                let pairs = || list.iter().enumerate().map(|(at, item)| (Val::Int(at as i64), item));
                self.act(|| list.iter(), pairs, &walk.act)
            }
            Val::Map(map) => {
                self.cost.charge(before(&map))?;
                self.act(|| map.entries().map(|(key, _)| key), || map.entries(), &walk.act)
            }
            other => Err(Fault(format!("a macro walks a list or a map, not {}", other.kind()))),
        }
    }

    fn act<I, P>(
        &mut self,
        items: impl FnOnce() -> I,
        pairs: impl FnOnce() -> P,
        act: &'a Act,
    ) -> Evaluated<'a>
    where
        I: Iterator<Item = Val<'a>>,
        P: Iterator<Item = (Val<'a>, Val<'a>)>,
    {
        match act {
            Act::Items(each) => self.each(items(), each),
            Act::Pairs(each) => self.each(pairs(), each),
            Act::Filter(test) => self.filter(items(), test),
            Act::SortBy(key) => self.sort_by(items(), key),
            Act::Values(make) => self.values(pairs(), make),
            Act::Entries(make) => self.entries(pairs(), make),
        }
    }

    fn each(&mut self, items: impl Iterator<Item = impl Variables<'a>>, each: &'a Each) -> Evaluated<'a> {
        match each {
            Each::All(test) => self.quantify(items, test, false),
            Each::Exists(test) => self.quantify(items, test, true),
            Each::ExistsOne(test) => {
                let mut count = 0;
                for item in items {
                    count += usize::from(self.test(item, test)?);
                }
                Ok(Val::Bool(count == 1))
            }
            Each::List(make) => {
                let mut made = Vec::new();
                for item in items {
                    made.extend(self.make(item, make)?);
                }
                Ok(Val::list(made))
            }
        }
    }

    fn with<T>(
        &mut self,
        item: impl Variables<'a>,
        eval: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.cost.charge(1)?;
        let depth = self.locals.len();
        item.put(&mut self.locals);
        let result = eval(self);
        self.locals.truncate(depth);
        result
    }

    fn test(&mut self, item: impl Variables<'a>, test: &'a Node) -> Result<bool, Fault> {
        self.with(item, |run| run.bool(test))
    }

    /// `None`: it does not pass the test.
    fn make(&mut self, item: impl Variables<'a>, make: &'a Make) -> Result<Option<Val<'a>>, Fault> {
        self.with(item, |run| match &make.test {
            Some(test) if !run.bool(test)? => Ok(None),
            _ => run.eval(&make.make).map(Some),
        })
    }

    /// An item that decides hides the faults of others.
    fn quantify(
        &mut self,
        items: impl Iterator<Item = impl Variables<'a>>,
        test: &'a Node,
        decides: bool,
    ) -> Evaluated<'a> {
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

    fn filter(&mut self, items: impl Iterator<Item = Val<'a>>, test: &'a Node) -> Evaluated<'a> {
        let mut kept = Vec::new();
        for item in items {
            if self.test(item.clone(), test)? {
                kept.push(item);
            }
        }
        Ok(Val::list(kept))
    }

    fn sort_by(&mut self, items: impl Iterator<Item = Val<'a>>, key: &'a Node) -> Evaluated<'a> {
        let mut keyed = Vec::new();
        for item in items {
            let key = self.with(item.clone(), |run| run.eval(key))?;
            keyed.push((key, item));
        }
        sort_by_key(keyed, self.cost)
    }

    /// The keys come in order, each once.
    fn values(&mut self, pairs: impl Iterator<Item = (Val<'a>, Val<'a>)>, make: &'a Make) -> Evaluated<'a> {
        let mut entries = Vec::new();
        for (key, value) in pairs {
            entries.extend(self.make((key.clone(), value), make)?.map(|made| (key, made)));
        }
        Ok(Val::Map(Map::Built(entries.into())))
    }

    fn entries(&mut self, pairs: impl Iterator<Item = (Val<'a>, Val<'a>)>, make: &'a Make) -> Evaluated<'a> {
        let mut entries = Vec::new();
        for pair in pairs {
            match self.make(pair, make)? {
                None => {}
                Some(Val::Map(map)) => {
                    self.cost.charge(before(&map) + map.len())?;
                    entries.extend(map.entries());
                }
                Some(other) => {
                    return Err(Fault(format!(
                        "`transformMapEntry` makes entries, such as {{k: v}}, not {}",
                        other.kind()
                    )));
                }
            }
        }
        charge_sort(entries.iter().map(|(key, _)| key), self.cost)?;
        map_of(entries)
    }
}

/// What it costs to begin a walk: a record is put into order first, and of a lane's entries some may have keys that
/// expressions do not see.
pub fn before(map: &Map<'_>) -> usize {
    match map {
        Map::Record(record) => record.members().len() / 8,
        Map::Lane(entries) | Map::DoubleLane(entries) => entries.len() / 32,
        Map::Built(_) => 0,
    }
}
