//! The ring as bytes, for its ConfigMap, the wire and a node's disk: a head of 10 bytes, then the table, deflated.
//!
//! Head: `SHRG`, format (u16), crc32c of the deflated table (from format 2 on it begins with the format). Table: length and bytes of the plan's uid,
//! revision, parent, nonce, in format 2 the base of generations, members (u16, then ordinal, store, incarnation of each), slots (u32, then owner, epoch,
//! history of each: 12 bytes). Little endian, fixed widths: what repeats costs nothing once it is deflated.
//! A ring whose base is 0 is written in format 1, which every version reads.

use super::{Error, HISTORY_END, Member, Owned, Ring, StoreId};
use bytes::{Buf, BufMut, TryGetError};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use std::io::{Read, Write};

const MAGIC: &[u8; 4] = b"SHRG";
const FORMAT: u16 = 1;
/// With a base of generations that is not 0.
const FORMAT_BASE: u16 = 2;
const HEAD: usize = 10;
const SLOTS_MAX: usize = 16384;
/// No plan has more nodes.
pub const MEMBERS_MAX: usize = 256;
const UID_MAX: usize = 256;
const SLOT: usize = 12;
const MEMBER: usize = 26;
/// No ring's table is longer.
pub const BYTES_MAX: usize = 2 + UID_MAX + 32 + 2 + MEMBERS_MAX * MEMBER + 4 + SLOTS_MAX * SLOT;

pub fn encode(ring: &Ring) -> Vec<u8> {
    seal(if ring.base == 0 { FORMAT } else { FORMAT_BASE }, &table(ring))
}

/// A table behind its head.
pub(super) fn seal(format: u16, table: &[u8]) -> Vec<u8> {
    let table = deflate(table);
    let mut out = Vec::with_capacity(HEAD + table.len());
    out.put_slice(MAGIC);
    out.put_u16_le(format);
    out.put_u32_le(sum(format, &table));
    out.put_slice(&table);
    out
}

pub fn decode(mut bytes: &[u8]) -> Result<Ring, Error> {
    let head = bytes.split_off(..HEAD).ok_or_else(cut)?;
    let (magic, mut rest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Error("this is no ring".into()));
    }
    let format = rest.get_u16_le();
    if ![FORMAT, FORMAT_BASE].contains(&format) {
        let text = format!(
            "the ring has format {format}, and this version reads {FORMAT} and {FORMAT_BASE}: run the version that \
             wrote it"
        );
        return Err(Error(text));
    }
    if rest.get_u32_le() != sum(format, bytes) {
        return Err(damaged("its checksum does not match"));
    }
    let table = inflate(bytes)?;
    let ring = read(format, &table)?;
    sound(&ring)?;
    Ok(ring)
}

/// Takes in the format too, so that a table is never read by another.
fn sum(format: u16, table: &[u8]) -> u32 {
    crc32c::crc32c_append(if format == FORMAT { 0 } else { format.into() }, table)
}

pub(super) fn table(ring: &Ring) -> Vec<u8> {
    let mut out = Vec::with_capacity(BYTES_MAX);
    out.put_u16_le(ring.plan_uid.len() as u16);
    out.put_slice(ring.plan_uid.as_bytes());
    out.put_u64_le(ring.revision);
    out.put_u64_le(ring.parent);
    out.put_u64_le(ring.nonce);
    if ring.base > 0 {
        out.put_u64_le(ring.base);
    }
    out.put_u16_le(ring.members.len() as u16);
    for Member { ordinal, store, incarnation } in &ring.members {
        out.put_u16_le(*ordinal);
        out.put_u128_le(store.0);
        out.put_u64_le(*incarnation);
    }
    out.put_u32_le(ring.slots.len() as u32);
    for Owned { owner, epoch, history } in &ring.slots {
        out.put_u16_le(*owner);
        out.put_u64_le(*epoch);
        out.put_u16_le(*history);
    }
    out
}

fn deflate(table: &[u8]) -> Vec<u8> {
    let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
    out.write_all(table).and_then(|()| out.finish()).expect("memory takes every write")
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut table = Vec::new();
    let read = DeflateDecoder::new(bytes).take(BYTES_MAX as u64 + 1).read_to_end(&mut table);
    read.map_err(|error| damaged(&error.to_string()))?;
    if table.len() > BYTES_MAX { Err(damaged("it is too long")) } else { Ok(table) }
}

fn read(format: u16, mut from: &[u8]) -> Result<Ring, Error> {
    let uid = usize::from(from.try_get_u16_le()?);
    let uid = from.split_off(..uid).ok_or_else(cut)?;
    let plan_uid = String::from_utf8(uid.to_vec()).map_err(|_| damaged("the plan's uid is no text"))?;
    let (revision, parent, nonce) = (from.try_get_u64_le()?, from.try_get_u64_le()?, from.try_get_u64_le()?);
    let base = if format == FORMAT_BASE { from.try_get_u64_le()? } else { 0 };
    let members = (0..from.try_get_u16_le()?).map(|_| member(&mut from)).collect::<Result<_, _>>()?;
    let slots = (0..from.try_get_u32_le()?).map(|_| owned(&mut from)).collect::<Result<_, _>>()?;
    if !from.is_empty() {
        return Err(damaged("something follows its last slot"));
    }
    Ok(Ring { plan_uid, revision, parent, nonce, base, members, slots })
}

fn member(from: &mut &[u8]) -> Result<Member, Error> {
    let (ordinal, store) = (from.try_get_u16_le()?, StoreId(from.try_get_u128_le()?));
    Ok(Member { ordinal, store, incarnation: from.try_get_u64_le()? })
}

fn owned(from: &mut &[u8]) -> Result<Owned, Error> {
    let (owner, epoch) = (from.try_get_u16_le()?, from.try_get_u64_le()?);
    Ok(Owned { owner, epoch, history: from.try_get_u16_le()? })
}

/// What every ring keeps to, so that nobody who has one asks again.
fn sound(ring: &Ring) -> Result<(), Error> {
    let ordinals_rise = ring.members.is_sorted_by(|a, b| a.ordinal < b.ordinal);
    let slot = |slot: &Owned| {
        usize::from(slot.owner) < ring.members.len() && slot.epoch > 0 && slot.history < HISTORY_END
    };
    let mut stores: Vec<StoreId> = ring.members.iter().map(|member| member.store).collect();
    stores.sort_unstable();
    let checks = [
        (ring.parent < ring.revision, "its revision is not above its parent's"),
        ((1..=MEMBERS_MAX).contains(&ring.members.len()), "it has no members, or too many"),
        (ordinals_rise, "its members are not in the order of their ordinals"),
        (stores.is_sorted_by(|a, b| a < b), "a store is a member twice"),
        (
            ring.slots.len().is_power_of_two() && ring.slots.len() <= SLOTS_MAX,
            "it has a wrong number of slots",
        ),
        (ring.slots.iter().all(slot), "a slot's owner, epoch or history cannot be"),
    ];
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(damaged(why)),
        None => Ok(()),
    }
}

impl From<TryGetError> for Error {
    fn from(_: TryGetError) -> Error {
        cut()
    }
}

fn cut() -> Error {
    damaged("it ends too early")
}

fn damaged(why: &str) -> Error {
    Error(format!("the ring is damaged: {why}"))
}
