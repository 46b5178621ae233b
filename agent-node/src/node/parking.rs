//! Commands and messages that wait until the log has room for what they write: decides which run, wait or are refused.
//!
//! *Guarantees.* Commands and messages run in the order in which they came, and the end of a stream comes after its
//! commands; all else goes past them. None waits for longer than [`WAIT`]. What waits here counts in the inbox, so that
//! both together hold no more than one inbox may. *Assumptions.* Times do not go back.

use crate::log::Room;
use crate::refusal::Refusal;
use crate::shard::{Event, Stream};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a command waits for room.
pub const WAIT: Duration = Duration::from_secs(2);
/// The memory of more events than these is given back when none waits.
const KEPT: usize = 1_024;

#[derive(Debug)]
pub struct Parking<R, W> {
    /// With the time at which each came.
    events: VecDeque<(Instant, Event<R, W>)>,
    /// How many commands of each stream are among them.
    streams: HashMap<Stream, usize>,
}

/// What becomes of an event.
#[derive(Debug)]
pub enum Passage<R, W> {
    Run(Event<R, W>),
    Refuse(Event<R, W>, Refusal),
    /// It waits until the log has room again.
    Parked,
}

impl<R, W> Default for Parking<R, W> {
    fn default() -> Self {
        Parking { events: VecDeque::new(), streams: HashMap::new() }
    }
}

impl<R, W> Parking<R, W> {
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// When the oldest has waited for long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.events.front().map(|(came, _)| *came + WAIT)
    }

    /// What becomes of an event that comes now. `reserve` asks the log for the room that one command needs.
    pub fn pass(
        &mut self,
        event: Event<R, W>,
        now: Instant,
        reserve: impl FnOnce() -> Room,
    ) -> Passage<R, W> {
        let waits_behind = match &event {
            Event::Command(_) | Event::Message(_) => !self.is_empty(),
            Event::Ended(stream) => self.streams.contains_key(stream),
            _ => return Passage::Run(event),
        };
        let room = if waits_behind { Room::Later } else { room_for(&event, reserve) };
        match room {
            Room::Granted => Passage::Run(event),
            Room::Full(full) => refused(event, full.to_string()),
            Room::Later => {
                if let Event::Command(command) = &event {
                    *self.streams.entry(command.stream).or_default() += 1;
                }
                self.events.push_back((now, event));
                Passage::Parked
            }
        }
    }

    /// The oldest one that waits, if it is to wait no longer. `None`: nothing can go on now.
    pub fn next(&mut self, now: Instant, reserve: impl FnOnce() -> Room) -> Option<Passage<R, W>> {
        let (came, event) = self.events.front()?;
        let room = room_for(event, reserve);
        if room == Room::Later && now < *came + WAIT {
            return None;
        }
        let (_, event) = self.events.pop_front()?;
        self.forget(&event);
        Some(match room {
            Room::Granted => Passage::Run(event),
            Room::Full(full) => refused(event, full.to_string()),
            Room::Later => refused(event, "the log has had no room for it for too long".into()),
        })
    }

    fn forget(&mut self, event: &Event<R, W>) {
        if let Event::Command(command) = event
            && let Some(count) = self.streams.get_mut(&command.stream)
        {
            *count -= 1;
            if *count == 0 {
                self.streams.remove(&command.stream);
            }
        }
        if self.events.is_empty() {
            self.events.shrink_to(KEPT);
        }
    }
}

/// What does not write needs none.
fn room_for<R, W>(event: &Event<R, W>, reserve: impl FnOnce() -> Room) -> Room {
    match event {
        Event::Command(_) | Event::Message(_) => reserve(),
        _ => Room::Granted,
    }
}

fn refused<R, W>(event: Event<R, W>, why: String) -> Passage<R, W> {
    let at = match &event {
        Event::Command(command) => command.agent.as_str().to_owned(),
        Event::Message(message) => message.agent.as_str().to_owned(),
        _ => String::new(),
    };
    Passage::Refuse(event, Refusal::full(why, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::DiskFull;
    use crate::shard::{Command, Read};
    use bytes::Bytes;
    use proptest::prelude::*;
    use proto::address::Address;

    type Event = super::Event<(), ()>;

    fn command(id: u64, stream: Stream) -> Event {
        let (agent, lane, body) = (Address::trusted("/a/1"), "x".to_owned(), Bytes::new());
        Event::Command(Command { reply: (), id, stream, slot: 1, agent, lane, body, key: None })
    }

    fn read(id: u64) -> Event {
        let (agent, lane) = (Address::trusted("/a/1"), "x".to_owned());
        Event::Read(Read { reply: (), id, slot: 1, agent, lane, if_none_match: None })
    }

    fn named(event: &Event) -> String {
        match event {
            Event::Command(command) => format!("command {}", command.id),
            Event::Read(read) => format!("read {}", read.id),
            Event::Ended(stream) => format!("end of {stream}"),
            other => panic!("{other:?}"),
        }
    }

    fn line(passage: &Passage<(), ()>) -> String {
        match passage {
            Passage::Run(event) => format!("run {}", named(event)),
            Passage::Refuse(event, refusal) => format!("refuse {} {}", named(event), refusal.code),
            Passage::Parked => "park".into(),
        }
    }

    fn full() -> Room {
        Room::Full(DiskFull("no space".into()))
    }

    enum Step {
        Comes(Event),
        Next(Instant),
    }
    use Step::{Comes, Next};

    #[test]
    fn what_comes_runs_waits_or_is_refused() {
        let now = Instant::now();
        let just_before = now + WAIT.saturating_sub(Duration::from_millis(1));
        let late = now + WAIT;
        let unasked = || panic!("it needs no room");
        let mut parking = Parking::default();
        // What comes, what the log says, what becomes of it.
        let table: Vec<(Step, Option<Room>, &str)> = vec![
            (Comes(command(1, 7)), Some(Room::Granted), "run command 1"),
            (Comes(Event::Ended(6)), None, "run end of 6"),
            (Comes(command(2, 7)), Some(full()), "refuse command 2 429"),
            (Comes(command(3, 7)), Some(Room::Later), "park"),
            (Comes(read(4)), None, "run read 4"),
            // It would overtake, and is not even asked for.
            (Comes(command(5, 8)), None, "park"),
            (Comes(Event::Ended(9)), None, "run end of 9"),
            (Comes(Event::Ended(8)), None, "park"),
            (Next(now), Some(Room::Later), "nothing"),
            (Next(now), Some(Room::Granted), "run command 3"),
            (Next(just_before), Some(Room::Later), "nothing"),
            (Next(late), Some(Room::Later), "refuse command 5 429"),
            (Next(now), None, "run end of 8"),
            (Next(late), None, "nothing"),
            (Comes(command(6, 7)), Some(Room::Later), "park"),
            (Next(now), Some(full()), "refuse command 6 429"),
            (Comes(command(7, 7)), Some(Room::Granted), "run command 7"),
        ];
        for (at, (step, room, expected)) in table.into_iter().enumerate() {
            let reserve = || room.unwrap_or_else(unasked);
            let said = match step {
                Comes(event) => line(&parking.pass(event, now, reserve)),
                Next(now) => parking.next(now, reserve).map_or("nothing".into(), |passage| line(&passage)),
            };
            assert_eq!(said, expected, "line {at}");
        }
        assert!(parking.is_empty() && parking.streams.is_empty() && parking.deadline().is_none());
    }

    #[derive(Clone, Debug)]
    enum Happens {
        Command(Stream),
        End(Stream),
        Turn,
        Pass(u64),
    }

    fn happens() -> impl Strategy<Value = (Happens, u8)> {
        let happens = prop_oneof![
            6 => (0..3_u64).prop_map(Happens::Command),
            2 => (0..3_u64).prop_map(Happens::End),
            3 => Just(Happens::Turn),
            1 => (1..1_500_u64).prop_map(Happens::Pass),
        ];
        (happens, any::<u8>())
    }

    proptest! {
        #[test]
        fn the_order_holds_and_nothing_waits_for_long(steps in proptest::collection::vec(happens(), 1..80)) {
            let (mut parking, mut now) = (Parking::default(), Instant::now());
            let (mut came, mut left) = (Vec::new(), Vec::new());
            for (step, room) in steps {
                let reserve = || match room % 4 {
                    0 => full(),
                    1 => Room::Later,
                    _ => Room::Granted,
                };
                let passage = match step {
                    Happens::Pass(ms) => {
                        now += Duration::from_millis(ms);
                        None
                    }
                    Happens::Turn => parking.next(now, reserve),
                    Happens::Command(stream) => {
                        let id = came.len() as u64;
                        came.push((stream, format!("command {id}")));
                        Some(parking.pass(command(id, stream), now, reserve))
                    }
                    Happens::End(stream) => {
                        came.push((stream, format!("end of {stream}")));
                        Some(parking.pass(Event::Ended(stream), now, reserve))
                    }
                };
                if let Some(Passage::Run(event) | Passage::Refuse(event, _)) = passage {
                    left.push(named(&event));
                }
            }
            now += WAIT;
            while let Some(Passage::Run(event) | Passage::Refuse(event, _)) = parking.next(now, || Room::Later) {
                left.push(named(&event));
            }
            prop_assert!(parking.is_empty() && parking.streams.is_empty());
            // Commands of all streams in order, and each stream with its ends in order.
            let commands = |names: &mut dyn Iterator<Item = &String>| {
                names.filter(|name| name.starts_with("command")).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(
                commands(&mut left.iter()),
                commands(&mut came.iter().map(|(_, name)| name))
            );
            for stream in 0..3 {
                let of = |name: &String| came.iter().any(|(of, known)| *of == stream && known == name);
                let before: Vec<_> = came.iter().filter(|(of, _)| *of == stream).map(|(_, name)| name).collect();
                prop_assert_eq!(left.iter().filter(|name| of(name)).collect::<Vec<_>>(), before);
            }
        }
    }
}
