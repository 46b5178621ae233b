//! What a record says of timers: which has fired, and which are set and cancelled. Pure.

use super::super::codec::{Broken, Reader, varint};
use proto::binary;
use proto::plan::TimerId;
use proto::value::Value;

/// The timer whose turn a record is.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    pub timer: TimerId,
    /// Null: none.
    pub key: Value,
    /// When it was due: that names the turn.
    pub due_ms: u64,
    /// When it is due again, if ever.
    pub next_ms: Option<u64>,
}

/// A timer is set, or cancelled.
#[derive(Clone, Debug, PartialEq)]
pub struct TimerChange {
    pub timer: TimerId,
    /// Null: none.
    pub key: Value,
    /// `None`: it is cancelled.
    pub set: Option<Set>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    pub due_ms: u64,
    /// 0: it fires once.
    pub every_ms: u64,
}

const SET: u8 = 1;
const CANCELLED: u8 = 2;

impl Fired {
    pub fn write(&self, out: &mut Vec<u8>) {
        let Fired { timer, key, due_ms, next_ms } = self;
        out.extend_from_slice(&timer.0.to_le_bytes());
        binary::encode(key, out);
        varint(*due_ms, out);
        varint(next_ms.unwrap_or_default(), out);
    }

    pub fn read(reader: &mut Reader) -> Result<Fired, Broken> {
        let (timer, key) = (TimerId(reader.u64()?), reader.value()?);
        let (due_ms, next_ms) = (reader.varint()?, reader.varint()?);
        Ok(Fired { timer, key, due_ms, next_ms: (next_ms > 0).then_some(next_ms) })
    }
}

impl TimerChange {
    pub fn write(&self, out: &mut Vec<u8>) {
        let TimerChange { timer, key, set } = self;
        out.push(if set.is_some() { SET } else { CANCELLED });
        out.extend_from_slice(&timer.0.to_le_bytes());
        binary::encode(key, out);
        if let Some(Set { due_ms, every_ms }) = set {
            varint(*due_ms, out);
            varint(*every_ms, out);
        }
    }

    pub fn read(reader: &mut Reader) -> Result<TimerChange, Broken> {
        let kind = reader.byte()?;
        let (timer, key) = (TimerId(reader.u64()?), reader.value()?);
        let set = match kind {
            SET => Some(Set { due_ms: reader.varint()?, every_ms: reader.varint()? }),
            CANCELLED => None,
            _ => return Err("an unknown change of a timer"),
        };
        Ok(TimerChange { timer, key, set })
    }
}
