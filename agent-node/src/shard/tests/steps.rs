//! Steps that refuse, answer and run for each element of a list.

use super::*;
use crate::done::{Done, Said};
use proptest::prelude::*;

const SHOP: &str = "/shop/1";
const RULES: &str = "spec.agents[3].rules";

impl Rig {
    fn ask(&mut self, agent: &str, lane: &str, body: &str, key: Option<u64>) -> crate::done::End {
        let event = self.event(agent, lane, body, key, 0);
        self.handle(event);
        let answer = self.settle().into_iter().find_map(|effect| match effect {
            Effect::Answer { end, .. } => Some(end),
            _ => None,
        });
        answer.expect("an answer")
    }

    /// What the rules said, as text.
    fn said(&mut self, lane: &str, body: &str, key: Option<u64>) -> String {
        match self.ask(SHOP, lane, body, key).unwrap().said {
            Said::Json(text) => String::from_utf8(text.to_vec()).unwrap(),
            Said::Nothing => "nothing".into(),
            Said::Gone => "gone".into(),
        }
    }

    fn stock(&mut self, of: &[(&str, i64)]) {
        for (sku, n) in of {
            let put = format!("{{\"update\": {{\"key\": \"{sku}\", \"value\": {n}}}}}");
            self.send(SHOP, "stock", &put, None).unwrap();
        }
    }
}

fn order(items: &[(&str, i64)]) -> String {
    let items = items.iter().map(|(sku, n)| serde_json::json!({"sku": sku, "n": n}));
    serde_json::json!({"items": items.collect::<Vec<_>>()}).to_string()
}

#[test]
fn a_rule_refuses_with_its_code_and_text_at_its_path_and_nothing_stays() {
    let mut rig = Rig::new();
    rig.stock(&[("tea", 2), ("cup", 0)]);
    let records = rig.log.len();
    for (items, code, by_rule, error, at) in [
        (&[("tea", 1), ("pot", 1)][..], 422, true, "there is no pot", "do[1].refuse"),
        (&[("tea", 1), ("cup", 1)], 409, true, "all cup are sold", "do[2].refuse"),
        (&[("tea", 2), ("tea", 2)], 422, false, "a refusal says a text, not an integer", "do[4].refuse.with"),
    ] {
        let refusal = rig.ask(SHOP, "order", &order(items), None).unwrap_err();
        let Refusal { code: said, error: why, at: place, by_rule: of_rule, .. } = &refusal;
        assert_eq!((*said, *of_rule, &**why), (code, by_rule, error), "{refusal:?}");
        assert_eq!(*place, format!("{RULES}[0].{at}"));
    }
    assert_eq!(rig.log.len(), records, "none of them has a record");
    assert_eq!(rig.shown(SHOP, "stock"), "[[\"cup\",0],[\"tea\",2]]");
    assert_eq!(rig.shown(SHOP, "orders"), "0", "the step before it was taken back");
    let counts = &rig.shard.counts().routes[3];
    assert_eq!((counts.done, counts.refused, counts.declined), (2, 1, 2));
}

/// 409 is also what a client hears of a command that was done before.
#[test]
fn what_a_rule_refuses_with_409_is_never_said_to_be_done() {
    let mut rig = Rig::new();
    rig.stock(&[("tea", 0)]);
    let one = order(&[("tea", 1)]);
    assert!(rig.ask(SHOP, "order", &one, Some(1)).unwrap_err().by_rule);
    assert_eq!(rig.log.len(), 2, "that it was refused is remembered");
    rig.stock(&[("tea", 5_000)]);
    for sequence in 2..=1_100 {
        rig.ask(SHOP, "order", &one, Some(sequence)).unwrap();
    }
    rig.restart();
    let refusal = rig.ask(SHOP, "order", &one, Some(2)).unwrap_err();
    assert!(refusal.code == 409 && refusal.is_of_repeat(), "{refusal:?}");
    assert!(rig.ask(SHOP, "order", &one, Some(1)).is_ok(), "it runs, however far others are");
}

#[test]
fn a_rule_that_says_later_holds_back_the_stream_behind_it_and_counts_once() {
    let mut rig = Rig::new();
    let (shut, open) = ("/shop/shut", "/shop/shut");
    for (agent, lane, stream, expected) in
        [(shut, "hear", 3, Err((429, true))), (open, "say", 3, Err((429, true))), (open, "say", 4, Ok(()))]
    {
        let event = rig.event(agent, lane, "{}", None, stream);
        rig.handle(event);
        let out = rig.settle();
        let Some(Effect::Answer { end, .. }) = out.first() else { panic!("{out:?}") };
        let end = end.as_ref().map(|_| ()).map_err(|refusal| (refusal.code, refusal.by_rule));
        assert_eq!(end, expected, "{lane} on {stream}");
    }
    assert_eq!(rig.shard.counts().routes[3].declined, 1);
    let refusal = rig.ask(shut, "hear", "{}", Some(7)).unwrap_err();
    assert_eq!((refusal.retry_after_s, &*refusal.error), (1, "the shop is shut"));
}

/// Were it sent again until it is taken, nothing that agents of its slot send would reach the other slot.
#[test]
fn a_message_that_a_rule_refuses_with_429_is_a_fault_as_any_other() {
    let mut rig = Rig::new();
    rig.stock(&[("tea", 9)]);
    let body = r#"{"items": [{"sku": "tea", "n": 1}], "tell": ["shut", "2", "shut"]}"#;
    rig.ask(SHOP, "order", body, None).unwrap();
    // What left with the answer was lost, and is sent again.
    rig.shard.handle(Event::Configured(configuration()), rig.now_ms);
    rig.deliver();
    assert_eq!(rig.shard.counts().outbox, 0);
    assert_eq!(
        rig.shown("/shop/2", "heard"),
        r#"[["/shop/1","2"]]"#,
        "the answer to a message is not evaluated"
    );
    assert_eq!(rig.shown("/shop/shut", "heard"), "[]");
    let faults = rig.shown("/shop/shut", "faults");
    assert_eq!(
        faults.matches("the shop is shut (at spec.agents[3].rules[1].do[1].refuse)").count(),
        2,
        "{faults}"
    );
    assert_eq!(rig.shard.counts().faults, 2);
}

#[test]
fn a_step_runs_for_each_element_and_sees_what_it_did_for_those_before() {
    let mut rig = Rig::new();
    rig.stock(&[("tea", 9), ("cup", 3)]);
    let said = rig.said("order", &order(&[("tea", 2), ("cup", 1), ("tea", 3), ("cup", 0)]), None);
    assert_eq!(said, r#"{"left":{"cup":2,"tea":4},"order":1}"#);
    for (body, heard) in [
        (r#"{"over": []}"#, "[]"),
        (r#"{"over": [1, "x", null, [2]]}"#, r#"[1,"x",null,[2]]"#),
        (r#"{"over": {"b": 1, "a": 2}}"#, r#"[1,"x",null,[2],"a","b"]"#),
        (r#"{"over": "stock"}"#, r#"[1,"x",null,[2],"a","b","cup","tea"]"#),
        (r#"{"over": [], "gone": ["tea", "keep", "none"]}"#, r#"[1,"x",null,[2],"a","b","cup","tea"]"#),
    ] {
        rig.send(SHOP, "walk", body, None).unwrap();
        assert_eq!(rig.shown(SHOP, "heard"), heard, "{body}");
    }
    assert_eq!(rig.shown(SHOP, "stock"), r#"[["cup",2]]"#);
    rig.restart();
    assert_eq!(rig.shown(SHOP, "stock"), r#"[["cup",2]]"#);
    rig.send(SHOP, "walk", r#"{"over": [], "gone": ["x", "all"]}"#, None).unwrap();
    assert_eq!(rig.shown(SHOP, "stock"), "[]");
}

#[test]
fn what_each_walks_has_bounds() {
    let mut rig = Rig::new();
    let list = |count: usize| format!("{{\"over\": [], \"gone\": [{}]}}", vec!["\"keep\""; count].join(","));
    let over = |count: usize| format!("{{\"over\": [{}]}}", vec!["0"; count].join(","));
    let dear = format!("{{\"over\": [{}]}}", vec!["0"; 256].join(","));
    for (body, at, error) in [
        (
            r#"{"over": null}"#.to_owned(),
            "do[0].set.each",
            "a step runs for each element of a list or a map, not of null",
        ),
        (
            r#"{"over": 7}"#.to_owned(),
            "do[0].set.each",
            "a step runs for each element of a list or a map, not of int",
        ),
        (list(1_025), "do[1].remove.each", "a step runs for at most 1024 elements, and here are 1025"),
        (over(257), "", "a command takes at most 256 steps"),
    ] {
        let refusal = rig.ask(SHOP, "walk", &body, None).unwrap_err();
        let at = if at.is_empty() { SHOP.to_owned() } else { format!("{RULES}[2].{at}") };
        assert_eq!((refusal.code, &*refusal.at, &*refusal.error), (422, &*at, error));
    }
    // An element that `when` passes over is no step.
    rig.send(SHOP, "walk", &list(1_024), None).unwrap();
    rig.send(SHOP, "walk", &dear, None).unwrap();
    // `heard + [item]` walks all of it each time: the budget is one for all elements.
    let refusal = rig.ask(SHOP, "walk", &dear, None).unwrap_err();
    assert!(refusal.error.contains("cost more than 100000"), "{refusal:?}");
    assert_eq!(refusal.at, format!("{RULES}[2].do[0].set.to"));
}

#[test]
fn an_answer_comes_again_with_its_key_and_is_in_the_record_only_then() {
    let mut rig = Rig::new();
    rig.stock(&[("tea", 9)]);
    let one = order(&[("tea", 1)]);
    let said = r#"{"left":{"tea":8},"order":1}"#;
    assert_eq!(rig.said("order", &one, Some(1)), said);
    assert_eq!(rig.said("order", &one, Some(1)), said);
    assert_eq!(rig.said("order", &one, None), r#"{"left":{"tea":7},"order":2}"#);
    assert_eq!(rig.said("say", "{}", Some(2)), "nothing");
    let answers = rig.log.iter().map(|(_, body)| record::Record::decode(body).unwrap().answer);
    let answers: Vec<_> = answers.flatten().collect();
    assert_eq!(answers, [said.as_bytes()]);
    rig.restart();
    assert_eq!(rig.said("order", &one, Some(1)), said, "as it was when it was done");
    assert_eq!(rig.said("say", "{}", Some(2)), "nothing", "and not that something is gone");
    assert_eq!(rig.shown(SHOP, "stock"), r#"[["tea",7]]"#);
}

/// Each has 1 KiB less quotes: more than a shard of this size keeps.
#[test]
fn an_answer_that_is_not_kept_any_more_is_said_to_be_gone() {
    let mut rig = Rig::new();
    rig.shard = Shard::new(1, Room { new: 64 << 10, growth: 128 << 10, ended: 0, ..Room::OF_NODE });
    rig.shard.handle(Event::Configured(configuration()), 0);
    let body = |sequence: u64| format!("{{\"first\": \"{sequence:0>1022}\"}}");
    for sequence in 1..=40 {
        assert_eq!(rig.said("say", &body(sequence), Some(sequence)).len(), 1_024);
    }
    let first = rig.ask(SHOP, "say", &body(1), Some(1)).unwrap();
    assert_eq!(first, Done { version: (5 << 40) + 1, said: Said::Gone });
    assert_eq!(rig.said("say", &body(40), Some(40)).len(), 1_024);
    assert!(rig.shard.counts().client_names.bytes <= 64 << 10);
    assert_eq!(rig.log.len(), 40, "none had a second effect");
}

#[test]
fn a_command_is_answered_once_and_in_one_kilobyte() {
    let mut rig = Rig::new();
    for (body, expected) in [
        ("{}".to_owned(), Ok("nothing")),
        (r#"{"first": null}"#.into(), Ok("null")),
        (r#"{"second": [1, 2.5, "é"]}"#.into(), Ok(r#"[1,2.5,"é"]"#)),
        (
            r#"{"first": 1, "second": 2}"#.into(),
            Err(("[4].do[0].answer", "another step of this command has answered before")),
        ),
        (
            format!("{{\"first\": \"{}\"}}", "x".repeat(1_023)),
            Err(("[3].do[0].answer", "1025 bytes as JSON, and at most 1024 may be")),
        ),
    ] {
        match expected {
            Ok(expected) => assert_eq!(rig.said("say", &body, Some(rig.next + 1)), expected),
            Err((at, error)) => {
                let refusal = rig.ask(SHOP, "say", &body, None).unwrap_err();
                assert_eq!((refusal.code, refusal.by_rule), (422, false));
                assert_eq!((&*refusal.at, &*refusal.error), (&*format!("{RULES}{at}"), error));
            }
        }
    }
}

#[test]
fn an_answer_waits_until_its_record_is_on_the_disk() {
    let mut rig = Rig::new();
    let command = rig.event(SHOP, "say", r#"{"first": 1}"#, Some(1), 0);
    let retry = rig.event(SHOP, "say", r#"{"first": 1}"#, Some(1), 0);
    rig.handle(command);
    rig.handle(retry);
    rig.write();
    assert!(rig.release().is_empty());
    rig.durable = rig.log.len();
    let out = rig.release();
    let said = |effect: &Out| matches!(effect, Effect::Answer { end: Ok(Done { said: Said::Json(text), .. }), .. } if text == "1");
    assert!(out.len() == 2 && out.iter().all(said), "{out:?}");
}

proptest! {
    /// Whatever is ordered: a step for each element does what one order for each element does, or nothing of it.
    #[test]
    fn each_does_what_single_commands_do(items in proptest::collection::vec((0..3_usize, 0..4_i64), 0..20)) {
        const SKUS: [&str; 3] = ["tea", "cup", "pot"];
        let stock: Vec<_> = SKUS.iter().map(|sku| (*sku, 12)).collect();
        let items: Vec<_> = items.into_iter().map(|(sku, n)| (SKUS[sku], n)).collect();
        let (mut whole, mut single) = (Rig::new(), Rig::new());
        whole.stock(&stock);
        single.stock(&stock);
        let fits = SKUS.iter().all(|of| items.iter().filter(|(sku, _)| sku == of).map(|(_, n)| n).sum::<i64>() <= 12);
        prop_assert_eq!(whole.ask(SHOP, "order", &order(&items), None).is_ok(), fits);
        if fits {
            for item in items {
                // An order of what is sold out is refused, but this one takes nothing.
                let done = single.ask(SHOP, "order", &order(&[item]), None);
                prop_assert!(done.is_ok() || item.1 == 0);
            }
        }
        prop_assert_eq!(whole.shown(SHOP, "stock"), single.shown(SHOP, "stock"));
    }
}
