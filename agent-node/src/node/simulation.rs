//! Real nodes in one thread, driven by a seed: their shards, their log and its loops, their links, and what they say to
//! each other are what runs in a pod; disk, clock, random numbers and network are simulated. Machines lose power, processes
//! are killed in the middle of anything, streams are cut, disks fill up and fail. What clients saw is judged by the
//! history checker. `docs/simulation.md` says what is simulated and how, and what it has found.
//!
//! A seed that fails is printed with the smallest run of it that fails still, and is the same run again:
//! `SHOAL_SEED=N cargo test --release --workspace --lib -- simulation --nocapture`.

mod clients;
mod machine;
mod plan;
mod wire;
mod world;

use crate::broken::{self, Broken};
use crate::{clock, map, random};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Seen, Size, World};

/// Seeds that have found something once, in a node or in the checker.
const KEPT: [u64; 3] = [115, 1022, 3688];

/// Runs one seed. An error says what was broken, and how it came to be.
fn run(seed: u64, size: &Size, broken: Option<Broken>) -> Result<Seen, String> {
    broken::simulated::set(broken);
    map::keep_few(2);
    let world = World::new(seed, size);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    broken::simulated::set(None);
    clock::simulated::set(None);
    random::simulated::set(None);
    ran.unwrap_or_else(|_| Err("it panics".into()))
}

/// The smallest run of a seed that fails too, and how.
fn shrink(seed: u64, mut why: String) -> (Size, String) {
    let mut size = Size::of(seed);
    while let Some((smaller, other)) =
        size.smaller().into_iter().find_map(|smaller| Some((smaller, run(seed, &smaller, None).err()?)))
    {
        (size, why) = (smaller, other);
    }
    (size, why)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn seeds() -> Range<u64> {
    let first = number("SHOAL_FIRST").unwrap_or(0);
    match number("SHOAL_SEED") {
        Some(seed) => seed..seed + 1,
        None if std::env::var_os("SHOAL_LONG").is_some() => first..100_000,
        None => first..number("SHOAL_SEEDS").unwrap_or(2_000),
    }
}

#[test]
fn whatever_happens_clients_see_what_was_promised() {
    let mut seen = Seen::default();
    for seed in seeds().chain(KEPT) {
        match run(seed, &Size::of(seed), None) {
            Ok(more) => seen.add(&more),
            Err(why) => {
                let (size, why) = shrink(seed, why);
                panic!("seed {seed} fails, and so with {size:?}: {why}");
            }
        }
    }
    println!("{seen:?}");
}

#[test]
fn what_another_node_gave_is_taken_when_the_disk_works_again() {
    let size = Size { machines: 1, senders: 1, writes: 0, watchers: 0, faults: 0 };
    World::new(1, &size).takes_a_plan_after_its_disk_failed();
    clock::simulated::set(None);
    random::simulated::set(None);
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 0..5 {
        let again = || run(seed, &Size::of(seed), None).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert_eq!(again(), again(), "seed {seed}");
    }
}

/// Each by the first seed that shows it. What is broken breaks a promise to a client, keeps a node from starting, or
/// keeps it from ever settling.
#[test]
fn whatever_is_broken_is_noticed() {
    let mut unnoticed = Vec::new();
    let only = std::env::var("SHOAL_BROKEN").ok();
    let is_wanted = |broken: &Broken| only.as_ref().is_none_or(|only| *only == format!("{broken:?}"));
    for broken in broken::simulated::OF_NODES.into_iter().filter(is_wanted) {
        let noticed = seeds().find_map(|seed| Some((seed, run(seed, &Size::of(seed), Some(broken)).err()?)));
        match noticed {
            Some((seed, why)) => {
                let whole = number("SHOAL_SEED").is_some();
                let why = if whole { &why } else { why.lines().next().unwrap_or_default() };
                println!("{broken:?}: seed {seed}: {why}");
            }
            None => unnoticed.push(broken),
        }
    }
    assert_eq!(unnoticed, []);
}
