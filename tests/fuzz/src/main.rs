//! Gives what libFuzzer makes up to the target that `SHOAL_FUZZ` names, and looks at the memory that it takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use std::sync::LazyLock;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    // libFuzzer's hook ends the process at once; the reader of YAML catches the panics of the scanner that it uses.
    std::panic::set_hook(Box::new(|panicked| eprintln!("{panicked}")));
    let name = std::env::var("SHOAL_FUZZ").unwrap_or_default();
    let mut all = proto::fuzzed::TARGETS.iter().chain(agent_node::fuzzed::TARGETS);
    let found = all.find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("SHOAL_FUZZ={name}: there is no such target")).1
});

fuzz_target!(|bytes: &[u8]| {
    let target = *TARGET;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    target(bytes);
    let taken = MEMORY.peak_usage() - before;
    let most = proto::fuzzed::memory_max(bytes.len());
    assert!(taken <= most, "{} bytes took {taken} bytes of memory, over {most}", bytes.len());
});
