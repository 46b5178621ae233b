//! The world of one seed: machines, the network between them, clients, and what goes wrong.

use super::clients::{Answered, Reader, Room, Sender, Watcher};
use super::machine::{Loop, Machine, SHARDS, Start};
use super::plan::{self, Alarm, Name};
use super::wire::{self, Wire};
use crate::disk::simulated;
use crate::node::configure;
use crate::node::tests::Keys;
use crate::peer::Configuration;
use crate::peer::certificates::Certificates;
use crate::{clock, random};
use checker::{Final, History};
use proto::ring::{Member, Ring};
use rand::rngs::SmallRng;
use rand::seq::{IndexedMutRandom as _, IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// When a simulation begins: 2026-01-01, in milliseconds since 1970.
const BEGINS_MS: u64 = 1_767_225_600_000;
/// How long the time with faults is at most, in rounds.
const ROUNDS_MAX: usize = 3_000;
/// Once nothing goes wrong any more, all is settled within this time.
const HEALS: Duration = Duration::from_mins(2);
/// And watchers have been told of it after so much more.
const SETTLES: Duration = Duration::from_secs(15);

/// All simulated nodes show the same: nothing of it is looked at in a simulation.
static KEYS: LazyLock<(Keys, Arc<Certificates>)> = LazyLock::new(|| {
    let keys = Keys::new(plan::PLAN_UID);
    let certificates = Certificates::open(keys.folder.path(), plan::PLAN_UID).expect("certificates");
    (keys, Arc::new(certificates))
});

/// What a run has seen, so that it can be said that it saw enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub writes: u64,
    pub happenings: u64,
    pub kills: u64,
    pub power_losses: u64,
    pub cuts: u64,
    pub flips: u64,
    /// Snapshots that were taken.
    pub snapshots: u64,
    pub rounds: u64,
    /// A hash of the whole history.
    pub hash: u64,
}

impl Seen {
    pub fn add(&mut self, more: &Seen) {
        let Seen { writes, happenings, kills, power_losses, cuts, flips, snapshots, rounds, hash } = more;
        self.writes += writes;
        self.happenings += happenings;
        self.kills += kills;
        self.power_losses += power_losses;
        self.cuts += cuts;
        self.flips += flips;
        self.snapshots += snapshots;
        self.rounds += rounds;
        self.hash ^= hash;
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Loop(usize, Loop),
    Wire(usize, wire::End),
    Sender(usize),
    Reader(usize),
    Watcher(usize),
}

pub struct World {
    random: SmallRng,
    began: Instant,
    now: Duration,
    machines: Vec<Machine>,
    /// When each starts again, and until when it stands still.
    back: Vec<Duration>,
    frozen: Vec<Duration>,
    /// How much each one's wall clock is ahead or behind.
    wall_ms: Vec<i64>,
    wires: Vec<Wire>,
    /// Between two tries to call.
    calls: Vec<Vec<Duration>>,
    senders: Vec<Sender>,
    readers: Vec<Reader>,
    watchers: Vec<Watcher>,
    history: History,
    writes: u64,
    alarms: Vec<Alarm>,
    faults: usize,
    calm: bool,
    /// What nodes were given last, and the ring in it.
    given: Option<(Configuration, Ring)>,
    /// Until when each disk is small.
    small: Vec<Duration>,
    /// On which disks a byte has changed.
    flipped: Vec<bool>,
    /// How likely each loop is left out in a round: of the shards, the log and the network.
    lazy: [f64; 3],
    seen: Seen,
}

/// How much there is in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub machines: usize,
    pub senders: usize,
    /// How many each sender makes.
    pub writes: usize,
    pub watchers: usize,
    pub faults: usize,
}

impl Size {
    /// What a seed draws.
    pub fn of(seed: u64) -> Size {
        let mut random = SmallRng::seed_from_u64(!seed);
        Size {
            machines: *[1, 2, 3, 3].choose(&mut random).expect("a number"),
            senders: random.random_range(1..4),
            writes: random.random_range(5..40),
            watchers: random.random_range(0..4),
            faults: random.random_range(0..12),
        }
    }

    /// Smaller ones in one respect, the smallest first.
    pub fn smaller(&self) -> Vec<Size> {
        type Field = fn(&mut Size) -> &mut usize;
        let fields: [(usize, usize, Field); 5] = [
            (self.machines, 1, |size| &mut size.machines),
            (self.faults, 0, |size| &mut size.faults),
            (self.watchers, 0, |size| &mut size.watchers),
            (self.senders, 1, |size| &mut size.senders),
            (self.writes, 1, |size| &mut size.writes),
        ];
        let smaller = |(now, least, field): (usize, usize, Field)| {
            let mut tries = vec![least, now.midpoint(least), now.saturating_sub(1)];
            tries.retain(|tried| (least..now).contains(tried));
            tries.dedup();
            tries.into_iter().map(move |tried| {
                let mut size = *self;
                *field(&mut size) = tried;
                size
            })
        };
        fields.into_iter().flat_map(smaller).collect()
    }
}

impl World {
    pub fn new(seed: u64, size: &Size) -> World {
        let mut random = SmallRng::seed_from_u64(seed);
        random::simulated::set(Some(random.random()));
        let machines: Vec<Machine> =
            (0..size.machines).map(|ordinal| Machine::new(ordinal as u16, random.random())).collect();
        let senders = (0..size.senders).map(|client| {
            let name = format!("client-{client}");
            Sender::new(random.random_bool(0.6).then_some(&name), size.writes)
        });
        let senders = senders.collect();
        let watched = plan::watched();
        let watchers = (0..size.watchers).map(|_| {
            let names = watched.choose_multiple(&mut random, 4).cloned().collect();
            Watcher::new(names, random.random_bool(0.3).then_some(3))
        });
        let watchers = watchers.collect();
        let lazy = [(); 3].map(|()| *[0.1, 0.5, 0.9].choose(&mut random).expect("a number"));
        World {
            began: Instant::now(),
            now: Duration::ZERO,
            back: vec![Duration::ZERO; machines.len()],
            frozen: vec![Duration::ZERO; machines.len()],
            wall_ms: vec![0; machines.len()],
            wires: Vec::new(),
            calls: vec![vec![Duration::ZERO; machines.len()]; machines.len()],
            senders,
            readers: vec![Reader::default(), Reader::default()],
            watchers,
            history: History::default(),
            alarms: Vec::new(),
            writes: 0,
            faults: size.faults,
            calm: false,
            given: None,
            small: vec![Duration::ZERO; machines.len()],
            flipped: vec![false; machines.len()],
            lazy,
            seen: Seen::default(),
            machines,
            random,
        }
    }

    pub fn run(mut self) -> Result<Seen, String> {
        self.begin()?;
        for _ in 0..ROUNDS_MAX {
            if self.senders.iter().all(Sender::is_done) && self.faults == 0 {
                break;
            }
            self.fault();
            self.round(false)?;
        }
        self.heal()?;
        let finals = self.finals()?;
        let violations = self.history.check(&finals);
        if let Some(first) = violations.first() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(format!("{first}\n{}\n{}", self.history, all.join("\n")));
        }
        let mut hasher = DefaultHasher::new();
        self.history.to_string().hash(&mut hasher);
        let (writes, happenings) = (self.writes, self.history.len() as u64);
        Ok(Seen { writes, happenings, hash: hasher.finish(), ..self.seen })
    }

    pub fn takes_a_plan_after_its_disk_failed(mut self) {
        self.begin().expect("it starts");
        let (mut given, _) = self.given.clone().expect("a plan");
        (given.generation, given.spec) = (2, plan::spec(2).into());
        self.machines[0].disk.fail_syncs();
        configure::by_peer_now(self.machines[0].core().expect("it runs"), given);
        self.machines[0].disk.heal();
        for (waited_ms, generation) in [(999, 1), (1, 2)] {
            self.now += Duration::from_millis(waited_ms);
            self.step_of(0, Loop::Late).expect("it runs on");
            assert_eq!(self.machines[0].core().expect("it runs").numbers().generation, generation);
        }
    }

    /// Starts all nodes, and gives them plan and ring.
    fn begin(&mut self) -> Result<(), String> {
        let mut members = Vec::new();
        for machine in 0..self.machines.len() {
            self.start(machine)?;
            let identity = &self.machines[machine].core().expect("it runs").identity;
            members.push(Member {
                ordinal: identity.ordinal,
                store: identity.store,
                incarnation: identity.incarnation,
            });
        }
        let ring = Ring::begin(plan::PLAN_UID, members, plan::SLOTS, 7);
        let given = Configuration {
            plan_name: "simulated".into(),
            plan_uid: plan::PLAN_UID.into(),
            generation: 1,
            spec: plan::spec(1).into(),
            ring: ring.encode().into(),
            peers: self.machines.iter().map(|machine| format!("node-{}", machine.ordinal)).collect(),
            adopted_by: String::new(),
        };
        for machine in &self.machines {
            let core = machine.core().expect("it runs");
            configure::configure_now(core, given.clone()).map_err(|refusal| refusal.error)?;
        }
        self.given = Some((given, ring));
        Ok(())
    }

    /// One node is given a newer ring with the same owners, and perhaps a newer plan. The others hear of it.
    fn configure(&mut self, machine: usize) {
        let (Some(core), Some((given, ring))) = (self.machines[machine].core(), &mut self.given) else {
            return;
        };
        (ring.parent, ring.revision, ring.nonce) = (ring.revision, ring.revision + 1, self.random.random());
        given.ring = ring.encode().into();
        if self.random.random_bool(0.5) {
            given.generation += 1;
            given.spec = plan::spec(given.generation).into();
        }
        // A node whose disk is full, or that ends in the middle of it, hears of it again.
        drop(configure::configure_now(core, given.clone()));
    }

    /// What the clock of a machine says is what this thread takes for the time.
    fn look_at_clock_of(&self, machine: usize) {
        let wall_ms = BEGINS_MS.saturating_add_signed(self.now.as_millis() as i64 + self.wall_ms[machine]);
        clock::simulated::set(Some((self.began + self.now, wall_ms)));
    }

    fn start(&mut self, machine: usize) -> Result<(), String> {
        self.look_at_clock_of(machine);
        match self.machines[machine].start(plan::PLAN_UID, &KEYS.1) {
            Start::Runs => Ok(()),
            Start::Ended => {
                self.end(machine);
                Ok(())
            }
            Start::Refused(why) => Err(format!("node {machine} does not start: {why}\n{}", self.history)),
        }
    }

    /// The process is killed, or its machine loses power.
    fn end(&mut self, machine: usize) {
        for sender in &mut self.senders {
            sender.lose(machine);
        }
        for reader in &mut self.readers {
            reader.lose(machine);
        }
        for watcher in &mut self.watchers {
            watcher.lose(machine, &mut self.history);
        }
        for wire in &mut self.wires {
            if wire.from == machine || wire.to == machine {
                wire.cut(self.random.random_range(0..5), self.random.random_range(0..5));
                wire.lose(machine);
            }
        }
        let end = if self.random.random_bool(0.5) {
            self.seen.kills += 1;
            simulated::End::Killed
        } else {
            self.seen.power_losses += 1;
            simulated::End::PowerLoss
        };
        if let Some(core) = self.machines[machine].core() {
            self.seen.snapshots += core.snapshots.snapshots.load(std::sync::atomic::Ordering::Relaxed);
        }
        self.machines[machine].end(end);
        self.back[machine] = self.now + Duration::from_millis(self.random.random_range(0..3_000));
    }

    /// Something goes wrong, now and then.
    fn fault(&mut self) {
        if self.faults == 0 || !self.random.random_ratio(1, 40) {
            return;
        }
        self.faults -= 1;
        let machine = self.random.random_range(0..self.machines.len());
        match self.random.random_range(0..18) {
            0 | 1 => {
                if self.machines[machine].process.is_some() {
                    self.end(machine);
                }
            }
            2..5 | 13..16 => self.machines[machine].disk.ends_in(self.random.random_range(1..12)),
            5 => self.machines[machine].disk.fail_syncs(),
            6 => self.frozen[machine] = self.now + Duration::from_millis(self.random.random_range(0..5_000)),
            10 | 11 => {
                self.look_at_clock_of(machine);
                self.configure(machine);
                if self.machines[machine].disk.has_ended() {
                    self.end(machine);
                }
            }
            12 => {
                let disk = &self.machines[machine].disk;
                disk.set_capacity(disk.used() + self.random.random_range(0..8 << 20));
                self.small[machine] = self.now + Duration::from_millis(self.random.random_range(0..20_000));
            }
            16 | 17 => self.flip(machine),
            7 => self.wall_ms[machine] = self.random.random_range(-7_200_000..7_200_000),
            _ => {
                if let Some(wire) = self.wires.choose_mut(&mut self.random) {
                    self.seen.cuts += 1;
                    wire.cut(self.random.random_range(0..4), self.random.random_range(0..4));
                }
            }
        }
    }

    /// A byte of the newest file of snapshots changes, once on each machine: of a slot's two snapshots one stays whole.
    fn flip(&mut self, machine: usize) {
        let disk = &self.machines[machine].disk;
        let folder = disk.root().join("data").join("snapshots");
        let files = crate::disk::list(&folder).unwrap_or_default();
        let newest = files.into_iter().filter(|name| name.starts_with("snapshot-")).max();
        if let Some(path) = newest.map(|name| folder.join(name))
            && !std::mem::replace(&mut self.flipped[machine], true)
        {
            let length = crate::disk::length(&path).expect("a file that is there");
            disk.flip(&path, self.random.random_range(0..length));
            self.seen.flips += 1;
        }
    }

    /// Each loop that there is takes a step, in any order; but for those that are left out.
    fn round(&mut self, all: bool) -> Result<bool, String> {
        self.seen.rounds += 1;
        for machine in 0..self.machines.len() {
            if self.small[machine] <= self.now {
                self.machines[machine].disk.set_capacity(u64::MAX);
            }
            if self.machines[machine].process.is_none() && self.back[machine] <= self.now {
                self.start(machine)?;
            }
            if let Some(why) = self.machines[machine].core().and_then(|core| core.life.failed()) {
                return Err(format!("node {machine} ends itself: {why}\n{}", self.history));
            }
        }
        self.call();
        let mut steps = self.steps();
        steps.shuffle(&mut self.random);
        let mut progress = false;
        for step in steps {
            let rolls = matches!(step, Step::Loop(_, Loop::Roll));
            if all && !rolls || !all && !self.is_left_out(step) {
                progress |= self.step(step)?;
            }
        }
        self.wires.retain(|wire| !wire.is_over());
        self.now += if progress {
            Duration::from_micros(self.random.random_range(0..300))
        } else if all {
            Duration::from_millis(100)
        } else {
            Duration::from_millis(*[1, 20, 100].choose(&mut self.random).expect("a number"))
        };
        Ok(progress)
    }

    fn steps(&self) -> Vec<Step> {
        let loops = (0..SHARDS).map(Loop::Shard).chain([
            Loop::Commit,
            Loop::Roll,
            Loop::Prepare,
            Loop::Backlog,
            Loop::Snapshots,
            Loop::Late,
        ]);
        let loops: Vec<Loop> = loops.collect();
        let of_machine = |machine: usize| loops.iter().map(move |step| Step::Loop(machine, *step));
        let of_wire = |wire: usize| wire::ENDS.iter().map(move |end| Step::Wire(wire, *end));
        let machines = (0..self.machines.len()).flat_map(of_machine);
        machines
            .chain((0..self.wires.len()).flat_map(of_wire))
            .chain((0..self.senders.len()).map(Step::Sender))
            .chain((0..self.readers.len()).map(Step::Reader))
            .chain((0..self.watchers.len()).map(Step::Watcher))
            .collect()
    }

    fn is_left_out(&mut self, step: Step) -> bool {
        let [shards, log, network] = self.lazy;
        let lazy = match step {
            Step::Loop(machine, _) if self.frozen[machine] > self.now => 1.0,
            Step::Loop(_, Loop::Shard(_)) => shards,
            Step::Loop(_, Loop::Commit | Loop::Prepare | Loop::Snapshots) => log,
            Step::Wire(..) => network,
            Step::Sender(_) | Step::Watcher(_) => 0.5,
            Step::Reader(_) => 0.2,
            Step::Loop(_, Loop::Roll) => 0.97,
            Step::Loop(_, Loop::Backlog | Loop::Late) => 0.3,
        };
        self.random.random_bool(lazy)
    }

    fn step(&mut self, step: Step) -> Result<bool, String> {
        let mut room = Room {
            machines: &self.machines,
            history: &mut self.history,
            random: &mut self.random,
            writes: &mut self.writes,
            alarms: &mut self.alarms,
            calm: self.calm,
        };
        match step {
            Step::Loop(machine, step) => self.step_of(machine, step),
            Step::Wire(wire, end) => {
                let to = &self.wires[wire];
                self.look_at_clock_of(if matches!(end, wire::End::Ask | wire::End::TakeAnswered) {
                    to.from
                } else {
                    to.to
                });
                Ok(self.wires[wire].step(end, &self.machines))
            }
            Step::Sender(sender) => Ok(self.senders[sender].step(&mut room)),
            Step::Reader(reader) => {
                let reader = &mut self.readers[reader];
                if room.random.random_ratio(1, 5) {
                    reader.ask_any(&mut room);
                }
                Ok(reader.step(&mut room) != Answered::NotYet)
            }
            Step::Watcher(watcher) => Ok(self.watchers[watcher].step(&mut room)),
        }
    }

    fn step_of(&mut self, machine: usize, step: Loop) -> Result<bool, String> {
        self.look_at_clock_of(machine);
        let Some(process) = &mut self.machines[machine].process else { return Ok(false) };
        match process.step(step, self.now.as_millis() as u64) {
            Ok(progress) => {
                if self.machines[machine].disk.has_ended() {
                    self.end(machine);
                }
                Ok(progress)
            }
            Err(_) if self.machines[machine].disk.has_failed() => {
                self.end(machine);
                Ok(true)
            }
            Err(why) => Err(format!("node {machine} ends by itself: {why}\n{}", self.history)),
        }
    }

    /// Nodes that are not connected call each other.
    fn call(&mut self) {
        for from in 0..self.machines.len() {
            for to in 0..self.machines.len() {
                let is_held =
                    self.wires.iter().any(|wire| wire.from == from && wire.to == to && wire.is_held());
                if from == to
                    || is_held
                    || self.calls[from][to] > self.now
                    || self.machines[to].process.is_none()
                {
                    continue;
                }
                self.look_at_clock_of(from);
                self.wires.extend(Wire::call(&self.machines, from, to));
                let pause = Duration::from_millis(self.random.random_range(0..500));
                self.calls[from][to] = self.now + pause;
            }
        }
    }

    /// Nothing goes wrong any more: all that was asked is settled, and all that was sent has had its effect.
    fn heal(&mut self) -> Result<(), String> {
        (self.faults, self.calm) = (0, true);
        self.frozen.fill(Duration::ZERO);
        self.small.fill(Duration::ZERO);
        for machine in &self.machines {
            machine.disk.heal();
        }
        let heals = self.now + HEALS;
        while !self.is_settled() {
            if self.now > heals {
                return Err(format!("it does not heal: {}\n{}", self.stands(), self.history));
            }
            self.round(true)?;
        }
        let settled = self.now + SETTLES;
        while self.now < settled {
            self.round(true)?;
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let left = |machine: &Machine| {
            machine.core().map_or(1, |core| core.count().outbox + core.count().timers.scheduled)
        };
        self.senders.iter().all(Sender::is_done)
            && self.watchers.iter().all(Watcher::watches_all)
            && self.machines.iter().map(left).sum::<u64>() == 0
    }

    fn stands(&self) -> String {
        let of = |machine: &Machine| {
            machine.core().map_or("down".to_owned(), |core| format!("{:?}, {:?}", core.ready(), core.count()))
        };
        let machines: Vec<String> = self.machines.iter().map(of).collect();
        let done = self.senders.iter().filter(|sender| sender.is_done()).count();
        format!("{done} of {} senders are done; {}", self.senders.len(), machines.join("; "))
    }

    /// Reads every lane through every node.
    fn finals(&mut self) -> Result<Vec<Final>, String> {
        let mut asked: Vec<_> = plan::states()
            .into_iter()
            .flat_map(|name| {
                (0..self.machines.len())
                    .map(move |machine| (name.clone(), machine, Reader::default(), String::new()))
            })
            .collect();
        let (mut finals, until) = (Vec::new(), self.now + HEALS);
        while !asked.is_empty() {
            if self.now > until {
                let (Name { agent, lane }, machine, _, why) = &asked[0];
                let stands = self.stands();
                return Err(format!(
                    "{lane} of {agent} can't be read through {machine}: {why}; {stands}\n{}",
                    self.history
                ));
            }
            self.round(true)?;
            let mut room = Room {
                machines: &self.machines,
                history: &mut self.history,
                random: &mut self.random,
                writes: &mut self.writes,
                alarms: &mut self.alarms,
                calm: true,
            };
            asked.retain_mut(|(name, machine, reader, why)| {
                reader.ask(&mut room, name, *machine);
                let (version, state) = match reader.step(&mut room) {
                    Answered::NotYet => return true,
                    Answered::Refused(refusal) => {
                        *why = refusal;
                        return true;
                    }
                    Answered::Got(version, state) => (version, state),
                };
                let lane = plan::lane(room.history, name);
                finals.push(Final { lane, version, state });
                false
            });
        }
        Ok(finals)
    }
}
