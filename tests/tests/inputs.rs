//! Bytes that nobody wrote, against what reads bytes: the corpora of `tests/fuzz` through its targets, with their laws
//! and the bound on memory.

use peak_alloc::PeakAlloc;
use std::collections::BTreeSet;
use std::fs;
use tests::project::root;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Cuts and changes of each input: what lies next to it.
fn near(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let step = (bytes.len() / 64).max(1);
    let places = move || (0..bytes.len()).step_by(step);
    let cut = places().map(|at| bytes[..at].to_vec());
    let changed = places().flat_map(move |at| {
        [0x00, 0x7f, 0xff].map(|byte| [&bytes[..at], &[byte], &bytes[at + 1..]].concat())
    });
    std::iter::once(bytes.to_vec()).chain(cut).chain(changed)
}

/// One test, since memory is counted for the whole process.
#[test]
fn the_corpora_break_no_law_and_take_no_memory_out_of_proportion() {
    // The reader of YAML catches panics of the scanner that it uses: the trace of one takes megabytes.
    std::panic::set_hook(Box::new(|panicked| eprintln!("{panicked}")));
    let corpora = root().join("tests/fuzz/corpus");
    let mut replayed = BTreeSet::new();
    for (name, target) in proto::fuzzed::TARGETS.iter().chain(agent_node::fuzzed::TARGETS) {
        let files = fs::read_dir(corpora.join(name)).unwrap_or_else(|_| panic!("{name} has no corpus"));
        for file in files {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.len() <= 16 << 10, "{} is large", path.display());
            for input in near(&bytes) {
                let before = MEMORY.current_usage();
                MEMORY.reset_peak_usage();
                target(&input);
                let taken = MEMORY.peak_usage() - before;
                let most = proto::fuzzed::memory_max(input.len());
                assert!(taken <= most, "{}: {taken} bytes of memory for {:?}", path.display(), input);
            }
            replayed.insert((*name).to_owned());
        }
    }
    let there: BTreeSet<String> = fs::read_dir(corpora)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(replayed, there, "each corpus has a target, and each target a corpus");
}
