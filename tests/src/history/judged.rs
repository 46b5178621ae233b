//! What the checker says of a history.

use checker::{Final, History, Rule, State};

/// Fails with what is broken, and with the history in a file; and when the check would not notice a lost write.
pub fn is_right(seed: u64, history: &History, finals: &[Final]) {
    let violations = history.check(finals);
    if violations.is_empty() {
        return would_be_wrong(history, finals.to_vec());
    }
    let file = std::env::temp_dir().join(format!("shoal-history-{seed}.txt"));
    std::fs::write(&file, history.to_string()).unwrap();
    let texts: Vec<String> = violations.iter().take(10).map(ToString::to_string).collect();
    panic!(
        "seed {seed}: {} violations; the history is in {}\n{}",
        violations.len(),
        file.display(),
        texts.join("\n")
    );
}

/// The check is no formality: the same history, with one acknowledged write lost, is not right.
fn would_be_wrong(history: &History, mut finals: Vec<Final>) {
    let counted = finals.iter_mut().find_map(|end| match &mut end.state {
        State::Map(entries) if entries.iter().any(|(_, count)| count == "1") => Some(entries),
        _ => None,
    });
    counted.expect("something was counted").retain(|(_, count)| count != "1");
    let violations = history.check(&finals);
    assert!(violations.iter().any(|violation| violation.rule == Rule::Lost), "{violations:?}");
}
