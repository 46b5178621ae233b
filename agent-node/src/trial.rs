//! Cases against a plan, as authors of rules test them: commands, and what lanes hold after each.
//!
//! *Guarantees*: what runs is the shard that nodes run, over a log in memory; messages between agents are delivered in
//! order, up to a bound. The time is what a case says, so that a case always ends in the same way.

mod cases;
mod one_node;
mod shown;
#[cfg(test)]
mod tests;

pub use cases::{Case, read};
pub use shown::{Report, summary};

use crate::done::Said;
use cases::{Refused, Step};
use one_node::{MESSAGES_MAX, OneNode, Outcome};
use proto::address::Address;
use proto::json;
use proto::plan::{AgentPlanSpec, Error};
use proto::value::{Text, Value};

/// What is not as a case expects it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where the command begins in the file.
    pub line: u64,
    /// Which command of the case, counted from 1.
    pub command: usize,
    pub agent: String,
    pub lane: String,
    pub expected: Value,
    pub got: Value,
}

/// Runs a case on agents that have their initial state.
pub fn run(spec: &AgentPlanSpec, case: &Case) -> Result<Vec<Difference>, Vec<Error>> {
    let mut node = OneNode::new(spec)?;
    let mut differences = Vec::new();
    for (step, command) in case.steps.iter().zip(1..) {
        let mut seen = Seen { step, command, differences: &mut differences };
        for expected in &step.lanes {
            node.watch(&expected.agent, &expected.lane);
        }
        let outcome = node.step(step.command.as_ref(), step.now_ms);
        seen.compare_end(&outcome);
        for expected in &step.lanes {
            let got = node.state(&expected.agent, &expected.lane).unwrap_or_else(|refusal| refused(&refusal));
            seen.compare(&expected.agent, &expected.lane, expected.value.clone(), got);
        }
        if outcome.is_endless {
            break;
        }
    }
    Ok(differences)
}

/// What has come of one command.
struct Seen<'a> {
    step: &'a Step,
    command: usize,
    differences: &'a mut Vec<Difference>,
}

impl Seen<'_> {
    fn compare_end(&mut self, outcome: &Outcome) {
        let step = self.step;
        let Step { command, refused: expected, faults, .. } = step;
        let (agent, lane) = command.as_ref().map_or(("", ""), |asked| (asked.agent.as_str(), &*asked.lane));
        match (&outcome.end, expected) {
            (Ok(done), None) => {
                let got = said(&done.said);
                if let Some(expected) = &step.answer
                    && got.as_ref().is_none_or(|got| !is_same(expected, got))
                {
                    let got = got.map_or_else(self::done, answer);
                    self.differs(agent, lane, answer(expected.clone()), got);
                }
            }
            (Err(refusal), Some(expected)) if expected.is(refusal) => {}
            (end, expected) => {
                let expected = expected.as_ref().map_or_else(done, Refused::value);
                let got = end.as_ref().map_or_else(refused, |_| done());
                self.differs(agent, lane, expected, got);
            }
        }
        if outcome.is_endless {
            let text = format!("more than {MESSAGES_MAX} messages and timers follow from it");
            self.differs(agent, lane, Value::text("an end"), Value::text(&text));
        }
        if outcome.faults.len() != *faults {
            let expected = Value::Int(*faults as i64);
            self.differs(agent, "faults", expected, Value::list(outcome.faults.clone()));
        }
    }

    fn compare(&mut self, agent: &Address, lane: &str, expected: Value, got: Value) {
        if !is_same(&expected, &got) {
            self.differs(agent.as_str(), lane, expected, got);
        }
    }

    fn differs(&mut self, agent: &str, lane: &str, expected: Value, got: Value) {
        let (agent, lane) = (agent.to_owned(), lane.to_owned());
        let (line, command) = (self.step.line, self.command);
        self.differences.push(Difference { line, command, agent, lane, expected, got });
    }
}

fn done() -> Value {
    Value::text("done")
}

/// What rules answered.
fn said(said: &Said) -> Option<Value> {
    match said {
        Said::Json(text) => json::parse(text).ok(),
        Said::Nothing | Said::Gone => None,
    }
}

fn answer(value: Value) -> Value {
    Value::record([(Text::new("answer"), value)])
}

fn refused(refusal: &crate::refusal::Refusal) -> Value {
    let members = [
        (Text::new("code"), Value::Int(refusal.code.into())),
        (Text::new("error"), Value::text(&refusal.error)),
        (Text::new("at"), Value::text(&refusal.at)),
    ];
    Value::record([(Text::new("refused"), Value::record(members))])
}

/// Records are the same in whatever order their members stand.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| is_same(a, b))
        }
        (Value::Record(a), Value::Record(b)) => {
            let has = |(name, value): &(Text, Value)| b.get(name).is_some_and(|other| is_same(value, other));
            a.members().len() == b.members().len() && a.members().iter().all(has)
        }
        _ => a == b,
    }
}
