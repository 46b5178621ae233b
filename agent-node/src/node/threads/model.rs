//! The inbox and the loop of a shard's thread, as they are, under a model checker that tries the orders in which
//! threads can come: who puts events in, the log's two threads, and the timer, which is a thread too. An answer that is
//! held for ever is a deadlock, which the checker finds.

use super::*;
use crate::node::inbox::InboxState;
use crate::node::turn::End;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::thread;
use std::sync::Arc;

type Events = VecDeque<shard::Event<(), ()>>;

/// The checker's lock, with a clock that stands still until it is moved.
struct Checked<T> {
    state: Mutex<T>,
    woken: Condvar,
    began: Instant,
    passed_ms: AtomicU64,
}

impl<T> Monitor<T> for Checked<T> {
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn new(state: T) -> Self {
        let (state, woken) = (Mutex::new(state), Condvar::new());
        Checked { state, woken, began: Instant::now(), passed_ms: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock().unwrap()
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_millis(self.passed_ms.load(Ordering::SeqCst))
    }

    fn sleep<'a>(&'a self, guard: MutexGuard<'a, T>, until: Instant) -> MutexGuard<'a, T> {
        if self.now() >= until { guard } else { self.woken.wait(guard).unwrap() }
    }

    fn wake(&self) {
        self.woken.notify_one();
    }
}

impl<T> Checked<T> {
    /// Time goes on, and a timer that is due by then fires.
    fn pass(&self, time: Duration) {
        let guard = self.state.lock().unwrap();
        self.passed_ms.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
        drop(guard);
        self.woken.notify_one();
    }
}

/// A number that threads wait for.
#[derive(Default)]
struct Reached {
    value: Mutex<u64>,
    changed: Condvar,
}

impl Reached {
    fn set(&self, value: u64) {
        *self.value.lock().unwrap() = value;
        self.changed.notify_all();
    }

    /// Waits until it is above `value`.
    fn past(&self, value: u64) -> u64 {
        *self.changed.wait_while(self.value.lock().unwrap(), |reached| *reached <= value).unwrap()
    }
}

/// Room in the log, and whether somebody was told that there will be some later.
#[derive(Default)]
struct Room {
    is_there: bool,
    asked: bool,
}

/// What the threads of one run share.
struct World {
    inbox: Inbox<(), (), Checked<InboxState<(), ()>>>,
    room: Mutex<Room>,
    appended: Reached,
    answered: Reached,
}

impl World {
    fn has_room(&self) -> bool {
        let mut room = self.room.lock().unwrap();
        room.asked |= !room.is_there;
        room.is_there
    }

    /// What the log's other thread does: once a segment is there, who was told to wait is called.
    fn make_room(&self) {
        let mut room = self.room.lock().unwrap();
        room.is_there = true;
        let asked = room.asked;
        drop(room);
        if asked {
            self.inbox.room();
        }
    }
}

/// A shard of which each event is one record with one answer, and two events are a batch.
struct Counting {
    world: Arc<World>,
    parked: u64,
    gathered: u64,
    appended: u64,
    held: VecDeque<u64>,
    answered: u64,
}

impl Work<(), ()> for Counting {
    fn run(&mut self, events: &mut Events, now: Instant) -> Ran {
        let mut ran = Ran::default();
        if self.parked > 0 && self.world.has_room() {
            self.gathered += std::mem::take(&mut self.parked);
            ran.any = true;
        }
        for _ in events.drain(..events.len().min(2)) {
            ran.any = true;
            if self.parked > 0 || !self.world.has_room() {
                self.parked += 1;
            } else {
                self.gathered += 1;
            }
        }
        // No deadline comes, which would hide that nobody was called.
        ran.parked_until = (self.parked > 0).then(|| now + Duration::from_hours(1));
        ran
    }

    fn tick(&mut self) -> bool {
        false
    }

    fn tell(&mut self, said: Vec<crate::shard::Taken>) {
        assert!(said.is_empty(), "no messages are sent here");
    }

    fn walk(&mut self) -> bool {
        false
    }

    fn append(&mut self) {
        if self.gathered > 0 {
            self.appended += std::mem::take(&mut self.gathered);
            self.held.push_back(self.appended);
            self.world.appended.set(self.appended);
        }
    }

    fn release(&mut self, durable: Position) -> Option<Position> {
        while let Some(position) = self.held.pop_front_if(|position| *position <= durable.0) {
            self.answered = position;
            self.world.answered.set(position);
        }
        self.held.front().copied().map(Position)
    }

    /// It takes long enough for the disk to be done meanwhile.
    fn count(&mut self) {
        thread::yield_now();
    }
}

/// Each event is answered, and a thread that drains ends with nothing held, whatever comes when.
fn all_are_answered(drains_early: bool) {
    const EVENTS: u64 = 3;
    let (room, appended, answered) = (Mutex::default(), Reached::default(), Reached::default());
    let world = Arc::new(World { inbox: Inbox::default(), room, appended, answered });
    let mut work = Counting {
        world: world.clone(),
        parked: 0,
        gathered: 0,
        appended: 0,
        held: VecDeque::new(),
        answered: 0,
    };
    let shared = world.clone();
    let shard = thread::spawn(move || {
        take_turns(&shared.inbox, &mut work);
        assert!(work.held.is_empty() && work.parked == 0, "it has ended, and {:?} is held", work.held);
        work.answered
    });
    let shared = world.clone();
    let log = thread::spawn(move || {
        let mut durable = 0;
        while durable < EVENTS {
            durable = shared.appended.past(durable);
            shared.inbox.durable(Position(durable));
        }
    });
    let shared = world.clone();
    // It fires when it counts. No tick comes, which would hide what was missed for a second.
    let timer = thread::spawn(move || shared.inbox.monitor().pass(COUNT));
    let shared = world.clone();
    let prepare = thread::spawn(move || shared.make_room());
    for event in 0..EVENTS {
        world.inbox.put_always(shard::Event::Ended(event));
    }
    if !drains_early {
        world.answered.past(EVENTS - 1);
    }
    world.inbox.end(End::Drain);
    assert_eq!(shard.join().unwrap(), EVENTS);
    for thread in [log, prepare, timer] {
        thread.join().unwrap();
    }
}

#[test]
fn no_answer_is_held_for_ever_however_timer_disk_and_events_meet() {
    for drains_early in [false, true] {
        shuttle::check_random(move || all_are_answered(drains_early), 3_000);
        shuttle::check_pct(move || all_are_answered(drains_early), 3_000, 3);
    }
}
