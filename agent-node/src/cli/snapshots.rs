//! The command that looks into the snapshots of a data folder: `snapshot` shows which there are, and changes nothing.

use super::out;
use super::record_text::Wanted;
use crate::node::configure;
use crate::snapshot::{self, Listed, Tag};
use crate::store;
use proto::address::Address;
use proto::plan::Plan;
use proto::shown::{Exit, Output};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    pub folder: PathBuf,
    pub wanted: Wanted,
    pub output: Output,
}

/// Shows the snapshots that are wanted on standard output, and on standard error what is broken.
pub fn snapshot(config: &Config) -> Exit {
    let Config { folder, wanted: Wanted { slot, agent }, output } = config;
    let of_agent = match agent.as_deref().map(|agent| slot_of(folder, agent)).transpose() {
        Ok(of_agent) => of_agent,
        Err(why) => return out::wrong(*output, why),
    };
    let listed = store::id_in(folder)
        .map_err(|error| error.to_string())
        .and_then(|store| snapshot::list(folder, store).map_err(|error| error.to_string()));
    let (listed, faults) = match listed {
        Ok(listed) => listed,
        Err(error) => return out::wrong(*output, error),
    };
    let is_wanted = |one: &&Listed| [*slot, of_agent].into_iter().flatten().all(|wanted| wanted == one.slot);
    let (mut shown, mut bytes) = (0_u64, 0);
    for one in listed.iter().filter(is_wanted) {
        let line = match output {
            Output::Text => text(one),
            Output::Json => object(one).to_string(),
        };
        if !out::answer(&line) {
            return Exit::Done;
        }
        (shown, bytes) = (shown + 1, bytes + one.bytes);
    }
    let broken: Vec<String> = faults.iter().map(ToString::to_string).collect();
    match output {
        Output::Text => {
            out::note(&format!("snapshots: {shown}, bytes: {bytes}"));
            for fault in &broken {
                out::note(&format!("broken, and an older one or the log takes its place: {fault}"));
            }
        }
        Output::Json => {
            out::note(&json!({"snapshots": shown, "bytes": bytes, "broken": broken}).to_string());
        }
    }
    if broken.is_empty() { Exit::Done } else { Exit::Refused }
}

/// The slot of an agent, by the plan that the folder holds.
fn slot_of(folder: &Path, agent: &str) -> Result<u16, String> {
    let given = store::configuration_in(folder).and_then(|bytes| configure::decode(&bytes).ok());
    let plan = given.and_then(|given| Plan::parse(&given.spec).ok());
    let plan =
        plan.ok_or("the folder holds no plan that says which slot the agent is in: name it by --slot")?;
    let address = Address::parse(agent).map_err(|error| error.to_string())?;
    let found = plan.find(&address).ok_or_else(|| format!("no route of the plan matches {agent}"))?;
    Ok(found.slot)
}

fn text(one: &Listed) -> String {
    let Listed { file, slot, begin, pieces, bytes, sections, is_newest } = one;
    let mut line = format!("slot {slot} LSN {} (history {})", begin.lsn, begin.history);
    let _ = write!(line, "; snapshot-{file:08}; pieces: {pieces}, bytes: {bytes}");
    let _ = write!(line, "; after {} records of the log", begin.end.0);
    if let Some(pin) = begin.pin {
        let _ = write!(line, ", of which it needs those from {} on", pin.0);
    }
    for (Tag(tag), bytes) in sections {
        let _ = write!(line, "; section {tag}: {bytes}");
    }
    if !is_newest {
        line.push_str("; the one before");
    }
    line
}

fn object(one: &Listed) -> Value {
    let Listed { file, slot, begin, pieces, bytes, sections, is_newest } = one;
    let section = |(Tag(tag), bytes): &(Tag, u64)| json!({"tag": tag, "bytes": bytes});
    json!({
        "slot": slot, "lsn": begin.lsn, "history": begin.history, "file": file, "pieces": pieces, "bytes": bytes,
        "end": begin.end.0, "pin": begin.pin.map(|pin| pin.0), "timeMs": begin.time_ms,
        "generation": begin.generation, "terms": begin.terms.len(), "newest": is_newest,
        "sections": sections.iter().map(section).collect::<Vec<_>>(),
    })
}
