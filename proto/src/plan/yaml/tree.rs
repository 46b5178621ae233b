//! A YAML text as the JSON that kubectl makes of it. The scanner is libyaml's, as kubectl's is; whatever kubectl and
//! kustomize read as two things, or only one of them reads, is a fault with its line.
//!
//! *Guarantees*: time and memory are bounded by the text and [`NODES_MAX`], whatever is anchored in it.

use super::scalar;
use crate::plan::Error;
use crate::value::{Text, Value};
use libyaml_safer::{Event, EventData, Mark, Parser, ScalarStyle};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What a plan can have, with aliases counted where they are used.
const NODES_MAX: usize = 100_000;
/// Lists and mappings within each other.
const LEVELS_MAX: usize = 100;

/// The value, and what is wrong with it.
pub struct Read {
    pub value: Value,
    pub errors: Vec<Error>,
    pub lines: Lines,
    /// The line of the first thing in it.
    pub line: u64,
}

/// The line of each path.
#[derive(Debug, Default)]
pub struct Lines(HashMap<String, u64>);

impl Lines {
    /// The line of what is at a path, or of what it would be in: `spec.agents[0].rules[1].do[0].set.to:12`.
    pub fn of(&self, at: &str) -> Option<u64> {
        let mut at = at;
        loop {
            if let Some(line) = self.0.get(at) {
                return Some(*line);
            }
            at = &at[..at.rfind(['.', '[', ':'])?];
        }
    }
}

#[derive(Debug)]
struct Node {
    line: u64,
    /// Lists and mappings within each other here, through aliases too: what walks over nodes calls itself so often.
    levels: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Plain(String),
    Quoted(String),
    Tagged(String),
    List(Vec<Rc<Node>>),
    Map(Vec<(Rc<Node>, Rc<Node>)>),
}

/// The one document of a text that has something in it; an empty text is null.
pub fn read(text: &str) -> Result<Read, Error> {
    let mut documents = documents(text)?;
    match documents.get(1) {
        Some(second) => Err(at_line(second.line, "another document begins here, and one plan is expected")),
        None => Ok(documents.remove(0)),
    }
}

/// All documents of a text, one at least. kubectl passes over empty ones.
pub fn documents(text: &str) -> Result<Vec<Read>, Error> {
    let strange = text.char_indices().find(|(at, char)| match char {
        '\u{85}' | '\u{2028}' | '\u{2029}' => true,
        '\u{feff}' => *at > 0,
        _ => false,
    });
    if let Some((at, char)) = strange {
        let line = text[..at].matches('\n').count() as u64 + 1;
        let code = u32::from(char);
        let error =
            format!("readers of YAML differ about U+{code:04X}: write \"\\u{code:04X}\", in double quotes");
        return Err(at_line(line, &error));
    }
    let mut composer = Composer { parser: Parser::new(), anchors: HashMap::new(), reached: Mark::default() };
    composer.parser.set_input(text.as_bytes());
    let roots = composer.documents()?;
    let mut nodes = 0;
    let read = |root: &Rc<Node>| {
        let mut converter = Converter { errors: Vec::new(), lines: Lines::default(), nodes };
        let value = converter.value(root, "");
        nodes = converter.nodes;
        if nodes > NODES_MAX {
            let error = format!("more than {NODES_MAX} values, those of aliases counted each time");
            return Err(at_line(root.line, &error));
        }
        Ok(Read { value, errors: converter.errors, lines: converter.lines, line: root.line })
    };
    roots.iter().map(read).collect()
}

fn at_line(line: u64, error: &str) -> Error {
    Error { line: Some(line), ..Error::invalid("", error) }
}

/// Marks count from 0.
fn line_of(mark: Mark) -> u64 {
    mark.line + 1
}

/// Makes nodes of the parser's events.
struct Composer<'t> {
    parser: Parser<&'t [u8]>,
    anchors: HashMap<String, Rc<Node>>,
    /// The end of the last event.
    reached: Mark,
}

impl Composer<'_> {
    fn documents(&mut self) -> Result<Vec<Rc<Node>>, Error> {
        let mut found = Vec::new();
        loop {
            let event = self.next()?;
            match event.data {
                EventData::StreamEnd => break,
                EventData::DocumentStart { .. } => {
                    self.anchors.clear();
                    let first = self.next()?;
                    let node = self.node(first, 0)?;
                    if !matches!(&node.content, Content::Plain(text) if text.is_empty()) {
                        found.push(node);
                    }
                }
                _ => {}
            }
        }
        if found.is_empty() {
            found.push(Rc::new(Node { line: 1, levels: 0, content: Content::Plain(String::new()) }));
        }
        Ok(found)
    }

    fn next(&mut self) -> Result<Event, Error> {
        let parser = &mut self.parser;
        // The library gives up on a few texts with a panic, `[!,]` among them. It is not asked again after that.
        let event = catch_unwind(AssertUnwindSafe(|| parser.parse()));
        let line = line_of(self.reached);
        let event = event.map_err(|_| at_line(line, "this is no YAML: a tag, or an escape, is not whole"))?;
        let event = event.map_err(|error| {
            let line = error.problem_mark().map_or(line, line_of);
            let flow = error.context().is_some_and(|context| context.contains("a flow "));
            let hint = if flow {
                ": an expression with commas, brackets or `: ` has to stand in quotes"
            } else {
                ""
            };
            let context = error.context().map(|context| format!(" {context}")).unwrap_or_default();
            at_line(line, &format!("this is no YAML, {}{context}{hint}", error.problem()))
        })?;
        self.reached = event.end_mark;
        Ok(event)
    }

    fn node(&mut self, event: Event, level: usize) -> Result<Rc<Node>, Error> {
        let line = line_of(event.start_mark);
        let too_deep =
            || at_line(line, &format!("more than {LEVELS_MAX} lists and mappings within each other"));
        if level > LEVELS_MAX {
            return Err(too_deep());
        }
        let (anchor, tag, content) = match event.data {
            EventData::Alias { anchor } => {
                let unknown = || at_line(line, &format!("nothing before it has the anchor &{anchor}"));
                return self.anchors.get(&anchor).cloned().ok_or_else(unknown);
            }
            EventData::Scalar { anchor, tag, value, style: ScalarStyle::Plain, .. } => {
                (anchor, tag, Content::Plain(value))
            }
            EventData::Scalar { anchor, tag, value, .. } => (anchor, tag, Content::Quoted(value)),
            EventData::SequenceStart { anchor, tag, .. } => {
                let mut items = Vec::new();
                loop {
                    let event = self.next()?;
                    if event.data == EventData::SequenceEnd {
                        break;
                    }
                    items.push(self.node(event, level + 1)?);
                }
                (anchor, tag, Content::List(items))
            }
            EventData::MappingStart { anchor, tag, .. } => {
                let mut entries = Vec::new();
                loop {
                    let event = self.next()?;
                    if event.data == EventData::MappingEnd {
                        break;
                    }
                    let key = self.node(event, level + 1)?;
                    let value = self.next()?;
                    entries.push((key, self.node(value, level + 1)?));
                }
                (anchor, tag, Content::Map(entries))
            }
            other => return Err(at_line(line, &format!("a value is expected here, not {other:?}"))),
        };
        let content = tag.map_or(content, Content::Tagged);
        let levels = match &content {
            Content::List(items) => 1 + items.iter().map(|item| item.levels).max().unwrap_or(0),
            Content::Map(entries) => {
                let levels = entries.iter().map(|(key, value)| key.levels.max(value.levels));
                1 + levels.max().unwrap_or(0)
            }
            Content::Plain(_) | Content::Quoted(_) | Content::Tagged(_) => 0,
        };
        if levels > LEVELS_MAX {
            return Err(too_deep());
        }
        let node = Rc::new(Node { line, levels, content });
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }
}

/// Makes JSON of nodes: names are texts, and stand in their order.
struct Converter {
    errors: Vec<Error>,
    lines: Lines,
    nodes: usize,
}

impl Converter {
    fn value(&mut self, node: &Node, at: &str) -> Value {
        self.nodes += 1;
        // It is refused as a whole.
        if self.nodes > NODES_MAX {
            return Value::Null;
        }
        self.lines.0.insert(at.to_owned(), node.line);
        match &node.content {
            Content::Plain(text) => scalar::plain(text).unwrap_or_else(|error| self.fault(node, at, &error)),
            Content::Quoted(text) => Value::text(text),
            Content::Tagged(tag) => self.fault(node, at, &format!("the tag {tag} means nothing here")),
            Content::List(items) => {
                let items = items.iter().enumerate();
                Value::list(
                    items.map(|(n, item)| self.value(item, &format!("{at}[{n}]"))).collect::<Vec<_>>(),
                )
            }
            Content::Map(_) => {
                let mut entries = BTreeMap::new();
                self.entries(node, at, &mut entries);
                let members = entries.into_iter().map(|(name, member)| {
                    let value = self.value(&member, &path(at, &name));
                    (Text::from(name), value)
                });
                Value::record(members.collect::<Vec<_>>())
            }
        }
    }

    /// The entries of a mapping, and of those that are merged into it.
    fn entries(&mut self, node: &Node, at: &str, entries: &mut BTreeMap<String, Rc<Node>>) {
        let Content::Map(own) = &node.content else { return };
        let mut merged = BTreeMap::new();
        let mut has_merged = false;
        for (key, member) in own {
            if matches!(&key.content, Content::Plain(text) if text == "<<") {
                if has_merged || !entries.is_empty() {
                    let error =
                        "`<<` stands once, before all other fields: readers of YAML differ where it does not";
                    self.fault(key, at, error);
                }
                has_merged = true;
                self.merge(member, at, &mut merged);
                continue;
            }
            let Some(name) = self.name(key, at) else { continue };
            if entries.contains_key(&name) {
                let error = format!("`{name}` is there twice: kubectl takes the last one, kustomize none");
                self.fault(key, &path(at, &name), &error);
            }
            entries.insert(name, member.clone());
        }
        for (name, member) in merged {
            entries.entry(name).or_insert(member);
        }
    }

    /// The first of several mappings that has a field counts.
    fn merge(&mut self, of: &Rc<Node>, at: &str, merged: &mut BTreeMap<String, Rc<Node>>) {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return;
        }
        match &of.content {
            Content::Map(_) => {
                let mut entries = BTreeMap::new();
                self.entries(of, at, &mut entries);
                self.nodes += entries.len();
                for (name, member) in entries {
                    merged.entry(name).or_insert(member);
                }
            }
            Content::List(items) if items.iter().all(|item| matches!(item.content, Content::Map(_))) => {
                for item in items {
                    self.merge(item, at, merged);
                }
            }
            _ => _ = self.fault(of, at, "`<<` takes a mapping, or a list of them"),
        }
    }

    fn name(&mut self, key: &Node, at: &str) -> Option<String> {
        let error = match &key.content {
            Content::Quoted(text) => return Some(text.clone()),
            Content::Plain(text) => match scalar::plain(text) {
                Ok(Value::Text(name)) => return Some(name.into()),
                Ok(_) => format!("a field's name is a text: write \"{text}\""),
                Err(error) => error,
            },
            _ => "a field's name is a text".into(),
        };
        let name = match &key.content {
            Content::Plain(text) => text.as_str(),
            _ => "?",
        };
        self.fault(key, &path(at, name), &error);
        None
    }

    fn fault(&mut self, node: &Node, at: &str, error: &str) -> Value {
        let at = if at.is_empty() { "yaml" } else { at };
        self.errors.push(Error { line: Some(node.line), ..Error::invalid(at, error) });
        Value::Null
    }
}

fn path(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}
