//! A file of cases: its fields, and all that is wrong with them, each with its line.

use crate::refusal::Refusal;
use proto::address::Address;
use proto::cel::millis_of_time;
use proto::plan::{Error, Lines, read_yaml};
use proto::value::{Record, Text, Value};

/// The time of a case that names none: 2000-01-01T00:00:00Z.
const NOW_MS: u64 = 946_684_800_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    pub line: u64,
    pub steps: Vec<Step>,
}

/// One command, or a time that goes by, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub line: u64,
    /// `None`: only timers fire.
    pub command: Option<Asked>,
    pub now_ms: u64,
    /// `None`: it is done.
    pub refused: Option<Refused>,
    /// What its rules answer. `None`: that may be anything.
    pub answer: Option<Value>,
    /// How many messages that follow from it are refused by their receivers, and timers by their rules.
    pub faults: usize,
    pub lanes: Vec<Expected>,
}

/// A client's command.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    pub agent: Address,
    pub lane: String,
    pub body: Value,
}

/// What a lane holds afterwards; of a Command or Supply lane, what came on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    pub agent: Address,
    pub lane: String,
    pub value: Value,
}

/// A refusal. What is `None` may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    pub code: Option<u16>,
    pub at: Option<String>,
    /// A part of the error's text.
    pub error: Option<String>,
}

impl Refused {
    pub fn is(&self, refusal: &Refusal) -> bool {
        let Refused { code, at, error } = self;
        code.is_none_or(|code| code == refusal.code)
            && at.as_ref().is_none_or(|at| *at == refusal.at)
            && error.as_ref().is_none_or(|error| refusal.error.contains(error))
    }

    pub fn value(&self) -> Value {
        let Refused { code, at, error } = self;
        let code = code.map(|code| ("code", Value::Int(code.into())));
        let error = error.as_ref().map(|error| ("error", Value::text(error)));
        let at = at.as_ref().map(|at| ("at", Value::text(at)));
        let members = [code, error, at].into_iter().flatten();
        let members: Vec<_> = members.map(|(name, value)| (Text::new(name), value)).collect();
        Value::record([(Text::new("refused"), Value::record(members))])
    }
}

/// The cases of a file, YAML or JSON.
pub fn read(text: &str) -> Result<Vec<Case>, Vec<Error>> {
    let (root, lines) = read_yaml(text)?;
    let mut reader = Reader { lines, errors: Vec::new() };
    let mut cases = Vec::new();
    for (n, case) in reader.items(&root, "").iter().enumerate() {
        cases.extend(reader.case(case, &format!("[{n}]")));
    }
    if reader.errors.is_empty() { Ok(cases) } else { Err(reader.errors) }
}

struct Reader {
    lines: Lines,
    errors: Vec<Error>,
}

impl Reader {
    fn fault(&mut self, at: &str, error: impl Into<String>) {
        let line = Some(self.line(at));
        self.errors.push(Error { line, ..Error::invalid(at, error) });
    }

    fn line(&self, at: &str) -> u64 {
        self.lines.of(at).unwrap_or(1)
    }

    fn items<'v>(&mut self, value: &'v Value, at: &str) -> &'v [Value] {
        match value {
            Value::List(items) if !items.is_empty() => items,
            _ => {
                self.fault(at, "a list is expected, with one item at least");
                &[]
            }
        }
    }

    /// A record that has no other fields than these.
    fn record<'v>(&mut self, value: &'v Value, at: &str, known: &[&str]) -> Option<&'v Record> {
        let Value::Record(record) = value else {
            self.fault(at, format!("a mapping is expected, of {}", known.join(", ")));
            return None;
        };
        for (name, _) in record.members() {
            if !known.contains(&name.as_str()) {
                let error = format!("there is no such field, only {}", known.join(", "));
                self.fault(&format!("{at}.{name}"), error);
            }
        }
        Some(record)
    }

    fn text(&mut self, record: &Record, at: &str, name: &str) -> Option<String> {
        match record.get(name) {
            Some(Value::Text(text)) => return Some(text.to_string()),
            Some(_) => self.fault(&format!("{at}.{name}"), "a text is expected"),
            None => self.fault(at, format!("`{name}` is missing")),
        }
        None
    }

    fn number<T: TryFrom<i64>>(&mut self, record: &Record, at: &str, name: &str) -> Option<T> {
        let number = match record.get(name)? {
            Value::Int(number) => T::try_from(*number).ok(),
            _ => None,
        };
        if number.is_none() {
            self.fault(&format!("{at}.{name}"), "a whole number is expected, not below 0");
        }
        number
    }

    fn case(&mut self, case: &Value, at: &str) -> Option<Case> {
        let case = self.record(case, at, &["name", "now", "commands"])?;
        let name = self.text(case, at, "name");
        let mut now_ms = self.time(case, at).unwrap_or(NOW_MS);
        let mut steps = Vec::new();
        match case.get("commands") {
            Some(commands) => {
                let at = format!("{at}.commands");
                for (n, command) in self.items(commands, &at).iter().enumerate() {
                    steps.extend(self.step(command, &format!("{at}[{n}]"), &mut now_ms));
                }
            }
            None => self.fault(at, "`commands` is missing"),
        }
        Some(Case { name: name?, line: self.line(at), steps })
    }

    /// A command without a time has that of the one before it.
    fn step(&mut self, step: &Value, at: &str, now_ms: &mut u64) -> Option<Step> {
        let known = ["agent", "lane", "body", "now", "refused", "answer", "faults", "lanes"];
        let step = self.record(step, at, &known)?;
        let is_command = ["agent", "lane", "body"].iter().any(|name| step.get(name).is_some());
        let command = if is_command || step.get("now").is_none() {
            self.command(step, at).map(Some)
        } else {
            Some(None)
        };
        *now_ms = self.time(step, at).unwrap_or(*now_ms);
        let refused = step.get("refused").map(|refused| self.refused(refused, &format!("{at}.refused")));
        let faults = self.number(step, at, "faults").unwrap_or(0);
        let lanes = step.get("lanes").map(|lanes| self.lanes(lanes, &format!("{at}.lanes")));
        Some(Step {
            line: self.line(at),
            command: command?,
            now_ms: *now_ms,
            refused: refused.flatten(),
            answer: step.get("answer").cloned(),
            faults,
            lanes: lanes.unwrap_or_default(),
        })
    }

    fn command(&mut self, step: &Record, at: &str) -> Option<Asked> {
        let agent = self.text(step, at, "agent");
        let agent = agent.and_then(|agent| self.address(&agent, &format!("{at}.agent")));
        let lane = self.text(step, at, "lane");
        Some(Asked { agent: agent?, lane: lane?, body: step.get("body").cloned().unwrap_or_default() })
    }

    fn address(&mut self, text: &str, at: &str) -> Option<Address> {
        Address::parse(text).map_err(|error| self.fault(at, error.to_string())).ok()
    }

    /// As expressions write times, or in milliseconds since 1970 as stored ones may be.
    fn time(&mut self, record: &Record, at: &str) -> Option<u64> {
        let millis = match record.get("now")? {
            Value::Int(millis) => Some(*millis),
            Value::Text(text) => millis_of_time(text),
            _ => None,
        };
        let millis = millis.and_then(|millis| u64::try_from(millis).ok());
        if millis.is_none() {
            let error = "a time is expected, such as \"2013-01-31T05:00:00Z\", or milliseconds since 1970";
            self.fault(&format!("{at}.now"), error);
        }
        millis
    }

    /// `422`, or a mapping.
    fn refused(&mut self, refused: &Value, at: &str) -> Option<Refused> {
        if let Value::Int(code) = refused
            && let Ok(code) = u16::try_from(*code)
        {
            return Some(Refused { code: Some(code), ..Refused::default() });
        }
        let refused = self.record(refused, at, &["code", "at", "error"])?;
        let mut text = |name| refused.get(name).and_then(|_| self.text(refused, at, name));
        let (place, error) = (text("at"), text("error"));
        Some(Refused { code: self.number(refused, at, "code"), at: place, error })
    }

    /// Agents, with their lanes, with what they hold.
    fn lanes(&mut self, lanes: &Value, at: &str) -> Vec<Expected> {
        let mut all = Vec::new();
        let form = "a mapping of addresses to lanes is expected, such as {/airport/JFK: {late: 1}}";
        let Value::Record(agents) = lanes else {
            self.fault(at, form);
            return all;
        };
        for (text, lanes) in agents.members() {
            let at = format!("{at}.{text}");
            let Some(agent) = self.address(text, &at) else { continue };
            let Value::Record(lanes) = lanes else {
                self.fault(&at, form);
                continue;
            };
            all.extend(lanes.members().iter().map(|(lane, value)| {
                let (lane, value) = (lane.to_string(), value.clone());
                Expected { agent: agent.clone(), lane, value }
            }));
        }
        all
    }
}
