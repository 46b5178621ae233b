//! Which plan and ring a node takes, and which end it.

use super::*;
use proto::ring::{Member, StoreId};
use serde_json::json;

fn ours() -> Identity {
    Identity { plan_uid: "uid".into(), ordinal: 0, store: StoreId(10), incarnation: 3 }
}

fn own(identity: &Identity) -> Own<'_> {
    Own { identity, adopted_by: "", held: Numbers::default(), plan: None }
}

fn spec(lanes: &[&str]) -> String {
    let lanes: Vec<_> = lanes.iter().map(|name| json!({"name": name, "type": "Command"})).collect();
    json!({
        "replicas": 2, "slots": 256, "storage": {"size": "1Gi"},
        "agents": [{"route": "/a/:id", "lanes": lanes}],
    })
    .to_string()
}

fn ring(revision: u64, nonce: u64) -> Ring {
    let member =
        |ordinal: u16, incarnation| Member { ordinal, store: StoreId(10 + u128::from(ordinal)), incarnation };
    Ring { revision, ..Ring::begin("uid", vec![member(0, 3), member(1, 1)], 256, nonce) }
}

fn given(generation: u64, ring: &Ring) -> Configuration {
    Configuration {
        plan_name: "p".into(),
        plan_uid: "uid".into(),
        generation,
        spec: spec(if generation == 1 { &["x"] } else { &["x", "y"] }).into(),
        ring: ring.encode().into(),
        peers: vec!["h0:1".into(), "h1:1".into()],
        adopted_by: String::new(),
    }
}

fn has() -> Routing {
    match judge(&own(&ours()), None, given(2, &ring(5, 7))) {
        Ok(Verdict::Take(routing)) => *routing,
        other => panic!("{other:?}"),
    }
}

fn said(has: Option<&Routing>, given: Configuration) -> String {
    said_by(&own(&ours()), has, given)
}

fn said_by(own: &Own, has: Option<&Routing>, given: Configuration) -> String {
    match judge(own, has, given) {
        Ok(Verdict::Same) => "same".into(),
        Ok(Verdict::Take(routing)) => {
            format!("take {} {}", routing.numbers.generation, routing.numbers.revision)
        }
        Err(Error::Refused(refusal)) => format!("{} {}: {}", refusal.code, refusal.at, refusal.error),
        Err(Error::Fatal(why)) => format!("fatal {why}"),
    }
}

#[test]
fn only_what_is_newer_in_one_number_and_older_in_none_is_taken() {
    let has = has();
    for (generation, revision, expected) in [
        (2, 5, "same"),
        (2, 6, "take 2 6"),
        (3, 5, "take 3 5"),
        (4, 9, "take 4 9"),
        (1, 5, "409 revision: generation 1 and revision 5 are older"),
        (2, 4, "409 revision: "),
        (3, 4, "409 revision: "),
        (1, 6, "409 revision: "),
    ] {
        let said = said(Some(&has), given(generation, &ring(revision, 7)));
        assert!(said.starts_with(expected), "{generation} {revision}: {said}");
    }
    assert_eq!(said(None, given(1, &ring(1, 7))), "take 1 1");
}

#[test]
fn a_plan_is_the_same_however_much_of_its_defaults_it_says() {
    let mut said: serde_json::Value = serde_json::from_str(&spec(&["x", "y"])).unwrap();
    said["management"] = "Managed".into();
    said["agents"][0]["lanes"][0]["schema"] = json!({"type": "Any"});
    said["storage"]["retention"] = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
    let has = has();
    for (generation, revision, expected) in [(2, 5, "same"), (2, 6, "take 2 6"), (3, 5, "take 3 5")] {
        let given = Configuration { spec: said.to_string().into(), ..given(generation, &ring(revision, 7)) };
        assert_eq!(self::said(Some(&has), given), expected);
    }
    said["pods"] = json!({"ofALaterVersion": true});
    let unknown = Configuration { spec: said.to_string().into(), ..given(3, &ring(6, 7)) };
    let refused = self::said(Some(&has), unknown);
    assert!(refused.starts_with("400 spec.pods.ofALaterVersion"), "{refused}");
}

#[test]
fn peers_may_move_without_a_new_number() {
    let moved = Configuration { peers: vec!["h0:2".into()], ..given(2, &ring(5, 7)) };
    assert_eq!(said(Some(&has()), moved), "take 2 5");
}

#[test]
fn two_rings_of_one_revision_and_a_rolled_back_store_end_the_node() {
    assert!(
        said(Some(&has()), given(2, &ring(5, 8)))
            .starts_with("fatal two different rings have the same revision 5")
    );
    let mut later = ring(6, 7);
    later.members[0].incarnation = 4;
    assert!(
        said(Some(&has()), given(2, &later))
            .contains("was restored to an earlier state: the ring records incarnation 4")
    );
}

#[test]
fn what_does_not_belong_or_parse_is_refused_with_its_place() {
    let foreign_ring = Ring { plan_uid: "other".into(), ..ring(6, 7) };
    let broken = Configuration { spec: "{\"replicas\": 2}".into(), ..given(3, &ring(6, 7)) };
    let larger = Ring::begin("uid", ring(1, 1).members, 512, 7);
    for (given, expected) in [
        (Configuration { plan_uid: "other".into(), ..given(3, &ring(6, 7)) }, "409 plan_uid"),
        (given(3, &foreign_ring), "409 ring.plan_uid"),
        (Configuration { ring: "no ring".into(), ..given(3, &ring(6, 7)) }, "400 ring"),
        (Configuration { spec: spec(&["z"]).into(), ..given(2, &ring(6, 7)) }, "409 generation"),
        (broken, "400 spec"),
        (given(3, &Ring { revision: 6, ..larger }), "400 ring"),
    ] {
        let said = said(Some(&has()), given);
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
}

#[test]
fn a_store_that_owns_nothing_routes_to_those_that_do() {
    use crate::link::Owner;
    let stranger = Identity { store: StoreId(99), ..ours() };
    let Ok(Verdict::Take(routing)) = judge(&own(&stranger), None, given(2, &ring(5, 7))) else {
        panic!("taken")
    };
    assert!(routing.for_shard(0, 1).owned.iter().all(Option::is_none));
    assert!(routing.slots_of(Owner::Here).is_empty());
    let has = has();
    assert_eq!(has.slots_of(Owner::Here).len() + has.slots_of(Owner::Node(1)).len(), 256);
    let owned = |index| has.for_shard(index, 2).owned.iter().flatten().count();
    assert_eq!(owned(0) + owned(1), has.slots_of(Owner::Here).len());
    assert!(has.for_shard(1, 2).owned.iter().step_by(2).all(Option::is_none));
    assert_eq!(has.others(&ours()), [(1, "h1:1".into(), StoreId(11))]);
    let routed = has.route("/a/%31").unwrap();
    assert_eq!((routed.address.as_str(), routed.owner), ("/a/1", has.owner(routed.slot)));
    assert_eq!(has.route("/b/1").unwrap_err().code, 404);
    assert_eq!(has.route("/a/%zz").unwrap_err().code, 400);
}

/// What an adopted volume holds is left behind only by a ring and a generation that are newer, of the plan that has
/// adopted it.
#[test]
fn an_adopted_volume_takes_only_what_its_new_plan_gives_anew() {
    let ours = ours();
    let own =
        Own { identity: &ours, adopted_by: "new", held: Numbers { revision: 5, generation: 2 }, plan: None };
    let by = |adopted_by: &str, generation, revision| Configuration {
        adopted_by: adopted_by.into(),
        ..given(generation, &ring(revision, 7))
    };
    for (given, expected) in [
        (by("new", 3, 6), "take 3 6"),
        (by("new", 3, 5), "409 revision"),
        (by("new", 2, 6), "409 revision"),
        (by("new", 2, 5), "409 revision"),
        (by("", 3, 6), "409 adopted_by"),
        (by("other", 3, 6), "409 adopted_by"),
    ] {
        let said = said_by(&own, None, given.clone());
        assert!(said.starts_with(expected), "{} {}: {said}", given.generation, given.adopted_by);
    }
    assert!(said(None, by("new", 3, 6)).starts_with("409 adopted_by"));
}

#[test]
fn an_adopted_volume_is_given_to_no_plan_that_has_its_lanes_of_other_types() {
    let ours = ours();
    let before = Plan::parse(spec(&["x", "y"]).replace("Command", "Value").as_bytes()).unwrap();
    let held = Numbers { revision: 5, generation: 2 };
    let own = Own { identity: &ours, adopted_by: "new", held, plan: Some(&before) };
    let given = |text: String| {
        let given = given(3, &ring(6, 7));
        Configuration { adopted_by: "new".into(), spec: text.into(), ..given }
    };
    let value = spec(&["x", "z"]).replace("Command", "Value");
    assert_eq!(said_by(&own, None, given(value)), "take 3 6");
    let map = spec(&["z", "y"]).replace("Command", "Map");
    let said = said_by(&own, None, given(map));
    assert!(
        said.starts_with("409 spec.agents[0].lanes: lane `y` is a Map lane, and the adopted volumes"),
        "{said}"
    );
}
