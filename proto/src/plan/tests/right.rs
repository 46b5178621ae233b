//! Plans that are right: what they say, and what is added where they say nothing.

use super::{HEAD, read};
use crate::address::{Address, slot};
use crate::origin::Origin;
use crate::plan::{
    Access, Act, AgentPlan, AgentPlanSpec, LaneId, LaneKind, Overflow, Plan, Queue, Retain, Schema,
};
use crate::value::Value;

fn plan(spec: &str) -> Plan {
    read(&format!("{HEAD}spec: {spec}")).unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[test]
fn the_samples_are_plans() {
    for (yaml, kinds, rules) in [
        (include_str!("../../../../crds/samples/flights.yaml"), 3, [1, 1, 1]),
        (include_str!("../../../../crds/samples/chat.yaml"), 3, [1, 3, 2]),
        (include_str!("../../../../crds/samples/vehicles.yaml"), 2, [2, 1, 0]),
    ] {
        let plan = read(yaml).unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(plan.kinds.len(), kinds);
        assert!(plan.kinds.iter().map(|kind| kind.rules.len()).eq(rules.into_iter().take(kinds)));
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let lanes =
        "{name: v, type: Value}, {name: m, type: Map}, {name: c, type: Command}, {name: s, type: Supply}";
    let plan = plan(&format!("{{agents: [{{route: '/a/:x', lanes: [{lanes}]}}]}}"));
    assert_eq!((plan.slots, plan.kinds.len()), (4096, 1));
    let lanes = &plan.kinds[0].lanes;
    let faults = Retain { entries: 16, evict: true, age_ms: None };
    let most = Retain { entries: 1_000_000, evict: false, age_ms: None };
    for (lane, name, kind, access, retain) in [
        (0, "v", LaneKind::Value, Access::ReadOnly, most),
        (1, "m", LaneKind::Map, Access::ReadOnly, most),
        (2, "c", LaneKind::Command, Access::ReadWrite, most),
        (3, "s", LaneKind::Supply, Access::ReadOnly, most),
        (4, "faults", LaneKind::Map, Access::ReadOnly, faults),
    ] {
        let lane = &lanes[lane];
        assert_eq!((&*lane.name, lane.kind, lane.access, lane.retain), (name, kind, access, retain));
        assert_eq!(lane.queue, Queue { items: 1024, overflow: Overflow::DropOldest });
        assert_eq!(lane.id, LaneId::of("/a/:x", name));
        assert_eq!((lane.schema, &lane.initial), (Schema::Any, &Value::Null));
    }
    assert_eq!(lanes.len(), 5);
}

#[test]
fn what_is_said_is_there() {
    let lanes = "{name: v, type: Value, access: ReadWrite, schema: {type: Double}, initial: 0.5},
        {name: m, type: Map, access: Internal, retain: {entries: 7}},
        {name: s, type: Supply, queue: {items: 3, overflow: Close}}";
    let plan = plan(&format!("{{replicas: 1, slots: 256, agents: [{{route: /a, lanes: [{lanes}]}}]}}"));
    assert_eq!(plan.slots, 256);
    let [v, m, s, _] = &plan.kinds[0].lanes[..] else { panic!("{plan:?}") };
    assert_eq!((v.access, v.schema, &v.initial), (Access::ReadWrite, Schema::Double, &Value::Double(0.5)));
    assert_eq!((m.access, m.retain), (Access::Internal, Retain { entries: 7, evict: true, age_ms: None }));
    assert_eq!(s.queue, Queue { items: 3, overflow: Overflow::Close });
}

#[test]
fn pages_of_other_hosts_may_ask_where_the_plan_names_them() {
    let agents = "agents: [{route: /a, lanes: [{name: v, type: Value}]}]";
    assert!(plan(&format!("{{{agents}}}")).origins.is_empty());
    let plan =
        plan(&format!("{{http: {{origins: ['https://shop.example', 'http://[::1]:8080']}}, {agents}}}"));
    let named = |text: &str| plan.origins.contains(&Origin::parse(text).unwrap());
    for (origin, expected) in [
        ("https://shop.example", true),
        ("https://shop.example:443", true),
        ("http://[::1]:8080", true),
        ("http://shop.example", false),
        ("https://shop.example:8443", false),
    ] {
        assert_eq!(named(origin), expected, "{origin}");
    }
}

#[test]
fn a_schema_says_what_a_lane_begins_with() {
    let lane =
        |(n, schema): (usize, &str)| format!("{{name: v{n}, type: Value, schema: {{type: {schema}}}}}");
    let schemas = ["Any", "Bool", "Int", "Double", "Text", "List", "Record"];
    let lanes: Vec<_> = schemas.into_iter().enumerate().map(lane).collect();
    let plan = plan(&format!("{{agents: [{{route: /a, lanes: [{}]}}]}}", lanes.join(", ")));
    let text = |value: &Value| {
        let mut out = Vec::new();
        crate::json::write(value, &mut out);
        String::from_utf8(out).unwrap()
    };
    let begins: Vec<_> = plan.kinds[0].lanes[..7].iter().map(|lane| text(&lane.initial)).collect();
    assert_eq!(begins, ["null", "false", "0", "0", "\"\"", "[]", "{}"]);
}

#[test]
fn a_schema_admits_its_own() {
    let values = ["null", "true", "1", "1.5", "9007199254740994.0", "1e300", "\"a\"", "[]", "{}"];
    for (schema, admitted) in [
        (Schema::Any, [true, true, true, true, true, true, true, true, true]),
        (Schema::Bool, [false, true, false, false, false, false, false, false, false]),
        (Schema::Int, [false, false, true, false, true, false, false, false, false]),
        (Schema::Double, [false, false, true, true, true, true, false, false, false]),
        (Schema::Text, [false, false, false, false, false, false, true, false, false]),
        (Schema::List, [false, false, false, false, false, false, false, true, false]),
        (Schema::Record, [false, false, false, false, false, false, false, false, true]),
    ] {
        for (json, admitted) in values.into_iter().zip(admitted) {
            let value = crate::json::parse(json.as_bytes()).unwrap();
            assert_eq!(schema.admit(value.clone()).ok(), admitted.then_some(value), "{schema:?} {json}");
        }
    }
    assert_eq!(Schema::Int.admit(Value::text("1")), Err("an integer is expected, not a text".into()));
}

#[test]
fn the_body_of_a_send_is_the_event_unless_it_says_otherwise() {
    let steps = "[{send: {agent: here, lane: c}}, {send: {agent: here, lane: c, body: '1', when: 'true'}}]";
    let agent =
        format!("{{route: /a, lanes: [{{name: c, type: Command}}], rules: [{{command: c, do: {steps}}}]}}");
    let plan = plan(&format!("{{agents: [{agent}]}}"));
    let at = plan.kinds[0].rules[0].steps.iter().map(|step| match &step.act {
        Act::Send { agent, lane, body } => {
            (agent.at.as_str(), lane.as_str(), body.at.as_str(), step.when.is_some())
        }
        other => panic!("{other:?}"),
    });
    let at: Vec<_> = at.collect();
    let path = |step: usize, field: &str| format!("spec.agents[0].rules[0].do[{step}].send.{field}");
    assert_eq!(at[0], (&*path(0, "agent"), "c", &*path(0, "body"), false));
    assert_eq!(at[1], (&*path(1, "agent"), "c", &*path(1, "body"), true));
}

#[test]
fn the_literal_wins_at_the_first_difference_from_the_left() {
    let routes =
        ["/:a/b/:c", "/:a/:b/c", "/x/:b/:c", "/x/b/:c", "/:a", "/x", "/v/:fleet/:id, partitionBy: [fleet]"];
    let agents: Vec<_> =
        routes.iter().map(|route| format!("{{route: {route}, lanes: [{{name: v, type: Value}}]}}")).collect();
    let plan = plan(&format!("{{slots: 1024, agents: [{}]}}", agents.join(", ")));
    for (address, route, input) in [
        ("/y/b/c", Some(0), "/y/b/c"),
        ("/y/z/c", Some(1), "/y/z/c"),
        ("/x/z/c", Some(2), "/x/z/c"),
        ("/x/b/c", Some(3), "/x/b/c"),
        ("/%78/%62/c", Some(3), "/x/b/c"),
        ("/y", Some(4), "/y"),
        ("/x", Some(5), "/x"),
        ("/v/acme/7", Some(6), "/acme"),
        ("/y/z/d", None, ""),
        ("/y/", None, ""),
        ("/metrics", None, ""),
    ] {
        let found = plan.find(&Address::parse(address).unwrap());
        let expected = route.map(|route| (route, slot(input, 1024)));
        assert_eq!(found.map(|found| (found.kind, found.slot)), expected, "{address}");
    }
}

#[test]
fn the_order_in_which_a_plan_lists_things_changes_no_id() {
    let lane = |name: &str| format!("{{name: {name}, type: Value}}");
    let ids = |lanes: [&str; 2]| {
        let lanes = lanes.map(lane).join(", ");
        let plan = plan(&format!("{{agents: [{{route: /a, lanes: [{lanes}]}}]}}"));
        let mut ids: Vec<_> = plan.kinds[0].lanes.iter().map(|lane| (lane.name.clone(), lane.id)).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(["a", "b"]), ids(["b", "a"]));
    assert_eq!(LaneId::of("/airport/:code", "late"), LaneId(0x532d_55b4_f52b_24d4));
}

#[test]
fn nodes_get_a_plan_without_what_is_at_its_default() {
    let json = |spec: &str| -> serde_json::Value {
        let plan: AgentPlan = serde_yaml_ng::from_str(&format!("{HEAD}spec: {spec}")).unwrap();
        let json = plan.spec.to_json();
        // It is the same plan.
        assert_eq!(serde_json::from_slice::<AgentPlanSpec>(&json).unwrap(), plan.spec, "{spec}");
        serde_json::from_slice(&json).unwrap()
    };
    let agents = "agents: [{route: /a, lanes: [{name: c, type: Command}]}]";
    let bare = serde_json::json!({"agents": [{"route": "/a", "lanes": [{"name": "c", "type": "Command"}]}]});
    assert_eq!(json(&format!("{{{agents}}}")), bare);
    assert_eq!(
        json(
            "{replicas: 3, slots: 4096, management: Managed, storage: {size: 10Gi, accessMode: ReadWriteOncePod, \
             retention: {whenDeleted: Retain, whenScaled: Retain}}, agents: [{route: /a, lanes: [{name: c, type: Command, \
             schema: {type: Any}}]}]}"
        ),
        bare
    );
    let other = json(&format!("{{replicas: 4, storage: {{size: 20Gi}}, {agents}}}"));
    assert_eq!((&other["replicas"], &other["storage"]), (&4.into(), &serde_json::json!({"size": "20Gi"})));
    // A value is a value, also one that reads as a default elsewhere.
    let initial =
        json("{agents: [{route: /a, lanes: [{name: v, type: Value, initial: {replicas: 3, type: Any}}]}]}");
    assert_eq!(
        initial["agents"][0]["lanes"][0]["initial"],
        serde_json::json!({"replicas": 3, "type": "Any"})
    );
}
