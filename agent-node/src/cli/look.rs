//! The command that looks into a data folder: `log` shows its records, and changes nothing.

use super::out;
use super::record_text::{self, Names, Wanted};
use crate::log::{self, Head, Position, Seen};
use crate::node::configure;
use crate::shard::Record;
use crate::snapshot;
use crate::store;
use proto::plan::Plan;
use proto::shown::{Exit, Output};
use serde_json::json;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    pub folder: PathBuf,
    pub wanted: Wanted,
    pub output: Output,
}

/// Shows the records that are wanted on standard output, and on standard error how the log stands.
pub fn log(config: &Config) -> Exit {
    let Config { folder, wanted, output } = config;
    // What snapshots have is not missed in the log.
    let loaded =
        store::id_in(folder).ok().and_then(|store| snapshot::load(folder, store, &mut |_, _| Ok(())).ok());
    let covered = loaded.map(|loaded| loaded.covered).unwrap_or_default();
    let (names, mut shown, mut unread) = (names(folder), BufWriter::new(io::stdout().lock()), false);
    let mut show = |at: Position, head: Head, body: &[u8]| {
        let record = Record::decode(body)?;
        if wanted.has(&head, &record) {
            let line = match output {
                Output::Text => record_text::text(at, &head, &record, &names),
                Output::Json => record_text::object(at, &head, &record, &names),
            };
            unread = writeln!(shown, "{line}").is_err();
        }
        if unread { Err("nobody reads it".to_owned()) } else { Ok(()) }
    };
    let read = log::read(folder, &covered, &mut |seen| match seen {
        Seen::Record(at, head, body) => show(at, head, body),
        Seen::Batch(..) => Ok(()),
    });
    let flushed = shown.flush();
    if unread || flushed.is_err() {
        return Exit::Done;
    }
    let (opened, damage, warnings) = match read {
        Ok(read) => read,
        Err(error) => return out::wrong(*output, error.to_string()),
    };
    let (records, segments, torn) = (opened.records, opened.segments, opened.torn_bytes);
    let damage = damage.map(|damage| damage.to_string());
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    match output {
        Output::Text => {
            out::note(&format!("records: {records}, segments: {segments}, bytes of a torn tail: {torn}"));
            for place in &warnings {
                out::note(&format!("changed, and nothing is lost by it: {place}"));
            }
            if let Some(damage) = &damage {
                out::note(&format!("damaged: {damage}"));
            }
        }
        Output::Json => out::note(
            &json!({
                "records": records, "segments": segments, "tornBytes": torn, "warnings": warnings, "damage": damage,
            })
            .to_string(),
        ),
    }
    if damage.is_some() { Exit::Refused } else { Exit::Done }
}

/// By the plan that the folder holds, if it holds one that this version can read.
fn names(folder: &Path) -> Names {
    let given = store::configuration_in(folder).and_then(|bytes| configure::decode(&bytes).ok());
    given.and_then(|given| Plan::parse(&given.spec).ok()).map_or_else(Names::default, |plan| Names::of(&plan))
}
