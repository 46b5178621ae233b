//! Commands with a key that were refused: none is said to be done later, and each may run once what refused it is mended.

use super::*;

/// `add` refuses `n: 0`, which stands for a line that a rule refuses and a plan that was mended since.
const WRONG: &str = "{\"n\": 0}";
const RIGHT: &str = "{\"n\": 1}";
const AGENT: &str = "/counter/1";

impl Rig {
    fn add(&mut self, body: &str, sequence: u64) -> Result<u64, Refusal> {
        self.send(AGENT, "add", body, Some(sequence))
    }
}

#[test]
fn a_refused_line_runs_when_the_file_is_sent_again_however_far_it_went_on() {
    let mut rig = Rig::new();
    for line in 1..=3_000 {
        let body = if line == 500 { WRONG } else { RIGHT };
        assert_eq!(rig.add(body, line).is_ok(), line != 500);
    }
    rig.restart();
    for line in 1..=3_000 {
        let said = rig.add(RIGHT, line);
        match line {
            500 => assert!(said.is_ok(), "{said:?}"),
            line if line <= 3_000 - 1_024 => {
                let refusal = said.unwrap_err();
                assert_eq!((refusal.code, refusal.outcome_unknown), (409, false), "{line} was done");
            }
            _ => assert!(said.is_ok(), "{line}: {said:?}"),
        }
    }
    assert_eq!(rig.shown(AGENT, "total"), "3000");
    let refusal = rig.add(RIGHT, 500).unwrap_err();
    assert_eq!((refusal.code, refusal.outcome_unknown), (409, false), "it was done now");
    assert_eq!(rig.shown(AGENT, "total"), "3000");
}

#[test]
fn that_it_was_refused_is_durable_before_the_client_hears_of_it() {
    let mut rig = Rig::new();
    let event = rig.event(AGENT, "add", WRONG, Some(5), 0);
    rig.handle(event);
    rig.write();
    assert!(rig.release().is_empty(), "its record is not synced");
    rig.durable = rig.log.len();
    assert!(matches!(rig.release()[..], [Effect::Answer { end: Err(_), .. }]));
    // Each kind of refusal that is final, as the shard gives it; nothing is written of others and of no key.
    for (lane, body, key, records) in [
        ("add", WRONG, Some(6), 1),
        ("add", "{", Some(7), 1),
        ("nothing", RIGHT, Some(8), 1),
        ("total", RIGHT, Some(9), 1),
        ("add", WRONG, None, 0),
    ] {
        let before = rig.log.len();
        rig.send(AGENT, lane, body, key).unwrap_err();
        assert_eq!(rig.log.len() - before, records, "{lane} {body}");
    }
}

#[test]
fn of_what_was_forgotten_nobody_says_that_it_was_done() {
    let mut rig = Rig::new();
    for line in 1..=1_100 {
        rig.add(WRONG, line).unwrap_err();
    }
    for line in 1_101..=2_300 {
        rig.add(RIGHT, line).unwrap();
    }
    rig.restart();
    for (line, known) in [(1, Some(true)), (76, Some(true)), (77, None), (1_100, None), (1_101, Some(false))]
    {
        let said = rig.add(WRONG, line).unwrap_err();
        let expected = known.map_or((422, false), |unknown| (409, unknown));
        assert_eq!((said.code, said.outcome_unknown), expected, "{line}");
    }
    // An hour of silence leaves one number.
    rig.now_ms += names::IDLE_MS;
    rig.tick();
    rig.settle();
    rig.restart();
    for (line, unknown) in [(77, true), (1_100, true), (1_101, false), (2_300, false)] {
        let said = rig.add(RIGHT, line).unwrap_err();
        assert_eq!((said.code, said.outcome_unknown), (409, unknown), "{line}");
    }
    assert!(rig.add(RIGHT, 2_301).is_ok());
}
