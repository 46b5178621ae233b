//! The names of one slot in a snapshot, and how they come and go together.

use super::super::codec::{Broken, Reader, text, varint};
use super::super::window::Window;
use super::{Client, NAME, Names, of_whom, whose};
use bytes::Bytes;
use proto::address::Slot;
use std::sync::Arc;

impl Names {
    /// Gives `item` what writes each name of a slot: its window, and what rules have said that is still kept.
    pub fn encode(&self, slot: Slot, mut item: impl FnMut(&dyn Fn(&mut Vec<u8>))) {
        let mut clients: Vec<_> = self.slots.get(&slot).into_iter().flatten().collect();
        clients.sort_unstable_by_key(|(name, _)| *name);
        for (name, client) in clients {
            let kept = &self.said[of_whom(name)];
            let said = client.window.said().filter_map(|version| Some((version, kept.get(slot, version)?)));
            let said: Vec<_> = said.collect();
            item(&|out| {
                text(name, out);
                varint(client.last_ms, out);
                client.window.encode(out);
                varint(said.len() as u64, out);
                for (version, said) in &said {
                    varint(*version, out);
                    varint(said.len() as u64, out);
                    out.extend_from_slice(said);
                }
            });
        }
    }

    /// Takes back one name. It asks for no room.
    pub fn decode(&mut self, slot: Slot, reader: &mut Reader) -> Result<(), Broken> {
        let name: Arc<str> = reader.text()?.into();
        if self.slots.get(&slot).is_some_and(|clients| clients.contains_key(&name)) {
            return Err("a name is there twice");
        }
        let last_ms = reader.varint()?;
        let window = Window::decode(reader)?;
        let mut said = Vec::new();
        for _ in 0..reader.varint()? {
            let version = reader.varint()?;
            let length = reader.varint()? as usize;
            said.push((version, Bytes::copy_from_slice(reader.take(length)?)));
        }
        let of = whose(&name, slot, &self.starts, &mut self.nodes);
        let group = &mut self.groups[of as usize];
        group.held.gain(1, NAME + name.len() + window.bytes());
        let listed = if window.is_active() { &mut group.active } else { &mut group.floors };
        listed.insert((last_ms, slot, name.clone()));
        let kept = &mut self.said[of_whom(&name)];
        for (version, said) in said {
            kept.add(slot, version, said);
        }
        let client = Client { window, last_ms, listed_ms: last_ms, of };
        self.slots.entry(slot).or_default().insert(name, client);
        self.let_said_give_way();
        Ok(())
    }

    /// All that is known of a slot goes.
    pub fn drop_slot(&mut self, slot: Slot) {
        let names: Vec<_> =
            self.slots.get(&slot).into_iter().flatten().map(|(name, _)| name.clone()).collect();
        self.forget(slot, &[], &names);
    }
}
