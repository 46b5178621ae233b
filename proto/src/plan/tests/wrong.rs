//! Plans that are wrong, each with the path of what is wrong.

use super::{HEAD, faults};
use crate::plan::{Error, Reason};
use expect_test::{Expect, expect};

/// `spec` is that of a plan; `I` is an invalid plan, `N` one that is not supported yet.
pub fn check(spec: &str, expected: &Expect) {
    expected.assert_eq(&faults(&format!("{HEAD}spec: {spec}")));
}

/// One agent with one lane.
fn check_lane(lane: &str, expected: &Expect) {
    check(&format!("{{agents: [{{route: /a, lanes: [{lane}]}}]}}"), expected);
}

fn check_route(route: &str, expected: &Expect) {
    check(&format!("{{agents: [{{route: {route}, lanes: [{{name: v, type: Value}}]}}]}}"), expected);
}

/// Fields of a spec beside its agents, and what is wrong with each.
const FIELDS: &[(&str, Expect)] = &[
    ("replicas: 3", expect![[""]]),
    (
        "replicas: 0",
        expect![[r#"
        I spec.replicas: 0 is less than 1
    "#]],
    ),
    (
        "replicas: 257",
        expect![[r#"
        I spec.replicas: 257 is more than 256
    "#]],
    ),
    (
        "replicas: '3'",
        expect![[r#"
        I spec.replicas: an integer is expected, not a text
    "#]],
    ),
    (
        "replicas: 1.5",
        expect![[r#"
        I spec.replicas: an integer is expected, not a double
    "#]],
    ),
    ("replicas: null", expect![[""]]),
    (
        "slots: 1000",
        expect![[r#"
        I spec.slots: `1000` is none of 256, 512, 1024, 2048, 4096, 8192, 16384
    "#]],
    ),
    ("http: {}", expect![[""]]),
    (
        "http: {origins: [null, 'null', '*', 'https://a/b', 'https://a:99999']}",
        expect![[r#"
            I spec.http.origins[0]: a text is expected, not null
            I spec.http.origins[1]: `null` is no origin: a scheme, a host and perhaps a port are expected, `https://shop.example`
            I spec.http.origins[2]: `*` is no origin: a scheme, a host and perhaps a port are expected, `https://shop.example`
            I spec.http.origins[3]: `https://a/b` is no origin: a scheme, a host and perhaps a port are expected, `https://shop.example`
        "#]],
    ),
    (
        "management: managed",
        expect![[r#"
        I spec.management: `managed` is none of Managed, Paused
    "#]],
    ),
    ("durability: {mode: Local}", expect![[""]]),
    (
        "durability: {mode: Relaxed}",
        expect![[r#"
        N spec.durability.mode: `Relaxed` is not supported yet
    "#]],
    ),
    (
        "durability: {mode: Replicated, copies: 1}",
        expect![[r#"
            N spec.durability.copies: `copies` is not supported yet
            N spec.durability.mode: `Replicated` is not supported yet
        "#]],
    ),
    (
        "durability: {mode: Fast}",
        expect![[r#"
        I spec.durability.mode: `Fast` is none of Local
    "#]],
    ),
    ("storage: {size: 2147483648}", expect![[""]]),
    ("storage: {size: 1.5Ti}", expect![[""]]),
    (
        "storage: {size: 1023Mi}",
        expect![[r#"
        I spec.storage.size: `1023Mi` is no quantity of at least 1Gi
    "#]],
    ),
    (
        "storage: {size: 1023Mi, accessMode: ReadWriteMany}",
        expect![[r#"
        I spec.storage.accessMode: `ReadWriteMany` is none of ReadWriteOncePod, ReadWriteOnce
    "#]],
    ),
    (
        "storage: {size: plenty}",
        expect![[r#"
        I spec.storage.size: `plenty` is no quantity of at least 1Gi
    "#]],
    ),
    (
        "storage: {retention: {whenScaled: Keep}}",
        expect![[r#"
        I spec.storage.retention.whenScaled: `Keep` is none of Retain, Delete
    "#]],
    ),
    ("pods: {resources: {limits: {cpu: 2, memory: 1Gi}}, nodeSelector: {disk: ssd}}", expect![[""]]),
    (
        "pods: {nodeSelector: {disk: 1}, imagePullPolicy: Sometimes}",
        expect![[r#"
            I spec.pods.imagePullPolicy: `Sometimes` is none of Always, IfNotPresent, Never
            I spec.pods.nodeSelector.disk: a text is expected: quote it, "1"
        "#]],
    ),
    (
        "pods: {tolerations: [{key: a, operator: Exists, until: now}]}",
        expect![[r#"
        I spec.pods.tolerations[0].until: there is no field `until` here, only effect, key, operator, tolerationSeconds, value
    "#]],
    ),
    (
        "pods: {labels: {team: a, shoal.dev/plan: b}}",
        expect![[r#"
        I spec.pods.labels: `shoal.dev/plan`: labels of shoal.dev and app.kubernetes.io are the operator's
    "#]],
    ),
    (
        "access: {}",
        expect![[r#"
        N spec.access: `access` is not supported yet
    "#]],
    ),
    (
        "nodes: 3",
        expect![[r#"
            I spec.nodes: there is no field `nodes` here, only agents, durability, http, management, pods, recovery, replicas, service, slots, storage
        "#]],
    ),
];

#[test]
fn fields_of_the_spec() {
    let lanes = "agents: [{route: /a, lanes: [{name: v, type: Value}]}]";
    for (fields, expected) in FIELDS {
        check(&format!("{{{fields}, {lanes}}}"), expected);
    }
    check(
        "{}",
        &expect![[r#"
        I spec.agents: is missing
    "#]],
    );
    check(
        "[]",
        &expect![[r#"
        I spec: fields are expected, not a list
    "#]],
    );
    check(
        "{agents: []}",
        &expect![[r#"
        I spec.agents: at least 1 item expected
    "#]],
    );
    check(
        "{agents: {route: /a}}",
        &expect![[r#"
        I spec.agents: a list is expected, not a record
    "#]],
    );
    check(
        "{agents: [{route: /a}]}",
        &expect![[r#"
        I spec.agents[0].lanes: is missing
    "#]],
    );
    check(
        "{agents: [{route: /a, lanes: []}]}",
        &expect![[r#"
        I spec.agents[0].lanes: at least 1 item expected
    "#]],
    );
}

/// Routes and what follows them, and what is wrong with each.
const ROUTES: &[(&str, Expect)] = &[
    ("/a/:b, partitionBy: [b]", expect![[""]]),
    (
        "a",
        expect![[r#"
            I spec.agents[0].route: `a` is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are written `:id`
        "#]],
    ),
    (
        "/a/",
        expect![[r#"
            I spec.agents[0].route: `/a/` is no route: each segment begins with `/` and has letters, digits and `._~-`; parameters are written `:id`
        "#]],
    ),
    (
        "/metrics/:a",
        expect![[r#"
            I spec.agents[0].route: `metrics` is reserved: the first segment is none of console, openapi.json, metrics, livez, readyz, healthz, and does not begin with shoal
        "#]],
    ),
    (
        "/a/:b/:b",
        expect![[r#"
        I spec.agents[0].route: the parameter `:b` is there twice
    "#]],
    ),
    (
        "/a/:b, partitionBy: []",
        expect![[r#"
        I spec.agents[0].partitionBy: at least 1 item expected
    "#]],
    ),
    (
        "/a/:b, partitionBy: [c]",
        expect![[r#"
        I spec.agents[0].partitionBy[0]: the route has no parameter `:c`
    "#]],
    ),
    (
        "/a/:b, partitionBy: [b, b]",
        expect![[r#"
        I spec.agents[0].partitionBy[1]: `b` is there twice
    "#]],
    ),
    (
        "/a/:b, partitionBy: b",
        expect![[r#"
        I spec.agents[0].partitionBy: a list is expected, not a text
    "#]],
    ),
    ("/a/:b, expire: 1h", expect![""]),
    (
        "/a/:b, expire: 5d",
        expect![[r#"
        I spec.agents[0].expire: `5d` is no duration of hours, minutes and seconds, as 1h30m is one
    "#]],
    ),
    (
        "/a/:b, expire: 0h0m0s",
        expect![[r#"
        I spec.agents[0].expire: `0h0m0s` is no duration from 1s to 876000h, as 1h30m is one
    "#]],
    ),
    (
        "/a/:b, expire: 876001h",
        expect![[r#"
        I spec.agents[0].expire: `876001h` is no duration from 1s to 876000h, as 1h30m is one
    "#]],
    ),
    (
        "/a/:b, passivateAfter: 1h",
        expect![[r#"
        N spec.agents[0].passivateAfter: `passivateAfter` is not supported yet
    "#]],
    ),
    (
        "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q",
        expect![[r#"
        I spec.agents[0].route: a route has at most 256 bytes and 16 segments
    "#]],
    ),
];

#[test]
fn routes_and_partitions() {
    for (route, expected) in ROUTES {
        check_route(route, expected);
    }
    let lane = "lanes: [{name: v, type: Value}]";
    for (one, other, expected) in [
        ("/a/:x", "/a/x", expect![[""]]),
        (
            "/a/:x",
            "/a/:x",
            expect![[r#"
            I spec.agents[1].route: "/a/:x" is there twice
        "#]],
        ),
        (
            "/a/:x",
            "/a/:y",
            expect![[r#"
            I spec.agents[1].route: matches the same addresses as spec.agents[0].route
        "#]],
        ),
        ("/a/:x/b", "/a/b/:x", expect![[""]]),
    ] {
        check(&format!("{{agents: [{{route: '{one}', {lane}}}, {{route: '{other}', {lane}}}]}}"), &expected);
    }
}

/// Lanes, and what is wrong with each.
const LANES: &[(&str, Expect)] = &[
    ("{name: v, type: Value, initial: {a: [1, null]}}", expect![[""]]),
    (
        "{name: v}",
        expect![[r#"
        I spec.agents[0].lanes[0].type: is missing
    "#]],
    ),
    (
        "{type: Value}",
        expect![[r#"
        I spec.agents[0].lanes[0].name: is missing
    "#]],
    ),
    (
        "{name: 1v, type: Value}",
        expect![[r#"
            I spec.agents[0].lanes[0].name: `1v` is no name of a lane: a letter, then letters, digits and `_`
        "#]],
    ),
    (
        "{name: in, type: Value}",
        expect![[r#"
        I spec.agents[0].lanes[0].name: `in` is reserved: expressions mean something else by it, or will; no Value or Map lane is called agent, event, here, item, key, now, old, sender, bool, bytes, double, duration, dyn, int, list, map, null_type, optional_type, string, timestamp, type, uint, as, break, const, continue, else, false, for, function, if, import, in, let, loop, namespace, null, package, return, true, var, void, while
    "#]],
    ),
    (
        "{name: key, type: Map}",
        expect![[r#"
        I spec.agents[0].lanes[0].name: `key` is reserved: expressions mean something else by it, or will; no Value or Map lane is called agent, event, here, item, key, now, old, sender, bool, bytes, double, duration, dyn, int, list, map, null_type, optional_type, string, timestamp, type, uint, as, break, const, continue, else, false, for, function, if, import, in, let, loop, namespace, null, package, return, true, var, void, while
    "#]],
    ),
    ("{name: key, type: Command}", expect![[""]]),
    ("{name: list, type: Supply}", expect![[""]]),
    ("{name: geo, type: Value}", expect![[""]]),
    ("{name: math, type: Map}", expect![[""]]),
    (
        "{name: faults, type: Command}",
        expect![[r#"
        I spec.agents[0].lanes[0].name: every agent has a lane `faults` of its own: choose another name
    "#]],
    ),
    (
        "{name: faults, type: Map}",
        expect![[r#"
            I spec.agents[0].lanes[0].name: every agent has a lane `faults` of its own: choose another name
        "#]],
    ),
    (
        "{name: v, type: value}",
        expect![[r#"
        I spec.agents[0].lanes[0].type: `value` is none of Value, Map, Command, Supply
    "#]],
    ),
    (
        "{name: v, type: Window, window: {of: c}}",
        expect![[r#"
        N spec.agents[0].lanes[0].type: `Window` is not supported yet
        N spec.agents[0].lanes[0].window: `window` is not supported yet
    "#]],
    ),
    (
        "{name: v, type: Value, persistence: Transient}",
        expect![[r#"
        N spec.agents[0].lanes[0].persistence: `persistence` is not supported yet
    "#]],
    ),
    (
        "{name: v, type: Value, retain: {entries: 1}}",
        expect![[r#"
        I spec.agents[0].lanes[0].retain: retain is for Map lanes, this is a Value
    "#]],
    ),
    (
        "{name: v, type: Value, queue: {items: 1}}",
        expect![[r#"
        I spec.agents[0].lanes[0].queue: queue is for Command and Supply lanes, this is a Value
    "#]],
    ),
    (
        "{name: v, type: Map, initial: 1}",
        expect![[r#"
        I spec.agents[0].lanes[0].initial: initial is for Value lanes, this is a Map
    "#]],
    ),
    (
        "{name: v, type: Map, retain: {}}",
        expect![[r#"
            I spec.agents[0].lanes[0].retain: at least one of age, entries is expected
        "#]],
    ),
    (
        "{name: v, type: Map, retain: {entries: 0}}",
        expect![[r#"
        I spec.agents[0].lanes[0].retain.entries: 0 is less than 1
    "#]],
    ),
    ("{name: v, type: Map, retain: {age: 1h}}", expect![""]),
    (
        "{name: v, type: Map, retain: {age: 1.5h}}",
        expect![[r#"
        I spec.agents[0].lanes[0].retain.age: `1.5h` is no duration of hours, minutes and seconds, as 1h30m is one
    "#]],
    ),
    (
        "{name: v, type: Value, retain: {age: 1h}}",
        expect![[r#"
        I spec.agents[0].lanes[0].retain: retain is for Map lanes, this is a Value
    "#]],
    ),
    (
        "{name: v, type: Supply, access: ReadWrite}",
        expect![[r#"
        I spec.agents[0].lanes[0].access: a Supply lane takes nothing from clients
    "#]],
    ),
    (
        "{name: v, type: Supply, queue: {items: 100000, overflow: Drop}}",
        expect![[r#"
        I spec.agents[0].lanes[0].queue.items: 100000 is more than 65536
        I spec.agents[0].lanes[0].queue.overflow: `Drop` is none of DropOldest, Block, Close
    "#]],
    ),
    (
        "{name: v, type: Value, schema: {type: Integer}}",
        expect![[r#"
        I spec.agents[0].lanes[0].schema.type: `Integer` is none of Any, Bool, Int, Double, Text, List, Record
    "#]],
    ),
    (
        "{name: v, type: Value, schema: Int}",
        expect![[r#"
        I spec.agents[0].lanes[0].schema: fields are expected, not a text
    "#]],
    ),
    (
        "{name: v, type: Value, schema: {type: Int}, initial: 1.5}",
        expect![[r#"
        I spec.agents[0].lanes[0].initial: an integer is expected, not a double
    "#]],
    ),
    ("{name: v, type: Value, schema: {type: Int}, initial: 2.0}", expect![[""]]),
    (
        "{name: v, type: Value, schema: {type: Text}, initial: null}",
        expect![[r#"
        I spec.agents[0].lanes[0].initial: a text is expected, not null
    "#]],
    ),
    (
        "{name: v, type: Value}, {name: v, type: Map}",
        expect![[r#"
        I spec.agents[0].lanes[1].name: "v" is there twice
    "#]],
    ),
];

#[test]
fn lanes() {
    for (lane, expected) in LANES {
        check_lane(lane, expected);
    }
    let long = format!("{{name: v, type: Value, initial: '{}'}}", "x".repeat(16 << 10));
    check_lane(
        &long,
        &expect![[r#"
        I spec.agents[0].lanes[0].initial: at most 16384 bytes of JSON are expected
    "#]],
    );
    let deep = format!("{{name: v, type: Value, initial: {}{}}}", "[".repeat(32), "]".repeat(32));
    check_lane(&deep, &expect![[""]]);
    let deep = format!("{{name: v, type: Value, initial: {}{}}}", "[".repeat(33), "]".repeat(33));
    check_lane(
        &deep,
        &expect![[r#"
        I spec.agents[0].lanes[0].initial: at most 32 levels are expected
    "#]],
    );
}

#[test]
fn a_plan_is_invalid_if_any_error_says_so() {
    let (invalid, not_yet) = (Error::invalid("a", "b"), Error::not_yet("c", "d"));
    assert_eq!(Reason::of(std::slice::from_ref(&not_yet)), Reason::NotSupportedYet);
    assert_eq!(Reason::of(&[invalid, not_yet]).as_str(), "InvalidPlan");
}
