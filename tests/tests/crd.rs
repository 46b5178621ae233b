//! The CRD under Kubernetes' own validator: what an API server takes and what it refuses, and that the parser of dev
//! mode and nodes says the same.

use anyhow::Result;
use proto::plan::{AgentPlan, Plan};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tests::crdcheck::{Case, Verdict, judge};
use tests::plans;

/// What the API server allows all CEL rules on one object.
const COST_MAX: u64 = 10_000_000;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn edited(from: &str, to: &str) -> String {
    assert_eq!(plans::EACH_KIND.matches(from).count(), 1, "`{from}`");
    plans::EACH_KIND.replace(from, to)
}

/// What the API server says of the plans, each over an old one or none. The CRD itself must be right.
fn verdicts(cases: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Verdict>> {
    let cases: Vec<_> = cases.into_iter().map(|(plan, old)| Case { plan, old }).collect();
    let (crd, verdicts) = judge(&workspace().join("crds/agentplans.yaml"), &cases)?;
    assert!(crd.refused.is_empty(), "{:?}", crd.refused);
    Ok(verdicts)
}

/// Where the parser finds faults.
fn faults(plan: &str) -> Vec<String> {
    let parsed = AgentPlan::from_yaml(plan).and_then(|plan| Plan::parse(&plan.spec.to_json()));
    parsed.err().unwrap_or_default().into_iter().map(|error| error.at).collect()
}

#[test]
fn the_samples_are_taken() -> Result<()> {
    let samples = std::fs::read_dir(workspace().join("crds/samples"))?;
    let mut plans =
        samples.map(|file| Ok(std::fs::read_to_string(file?.path())?)).collect::<Result<Vec<_>>>()?;
    assert_eq!(plans.len(), 3);
    plans.push(plans::EACH_KIND.into());
    for (plan, verdict) in plans.iter().zip(verdicts(plans.iter().map(|plan| (plan.clone(), String::new())))?)
    {
        assert!(verdict.refused.is_empty(), "{:?}", verdict.refused);
        assert_eq!(faults(plan), [""; 0]);
    }
    Ok(())
}

/// As the plan with every field has it.
const ORIGINS: &str = "http: {origins: ['https://shop.example', 'http://[::1]:8080']}";

#[test]
fn what_is_wrong_is_refused_with_its_path() -> Result<()> {
    let agent = |field: &str| format!("spec.agents[0].{field}");
    let cases = [
        ("replicas: 3", "replicas: 0", "spec.replicas".to_owned()),
        ("replicas: 3", "replicas: 257", "spec.replicas".into()),
        ("replicas: 3", "replicas: '3'", "spec.replicas".into()),
        ("slots: 256", "slots: 300", "spec.slots".into()),
        ("slots: 256", "nodes: 3", "spec.nodes".into()),
        (ORIGINS, "http: {origins: [shop.example]}", "spec.http.origins[0]".into()),
        (ORIGINS, "http: {origins: ['null']}", "spec.http.origins[0]".into()),
        (ORIGINS, "http: {origins: ['*']}", "spec.http.origins[0]".into()),
        (
            "http: {origins: ['https://shop.example', 'http://[::1]:8080']}",
            "http: {origins: ['null']}",
            "spec.http.origins[0]".into(),
        ),
        (
            "http: {origins: ['https://shop.example', 'http://[::1]:8080']}",
            "http: {origins: ['*']}",
            "spec.http.origins[0]".into(),
        ),
        ("slots: 256", "durability: {mode: Fast}", "spec.durability.mode".into()),
        ("slots: 256", "durability: {copies: 1}", "spec.durability.copies".into()),
        ("Managed", "managed", "spec.management".into()),
        ("10Gi", "1000Mi", "spec.storage.size".into()),
        ("10Gi", "plenty", "spec.storage.size".into()),
        ("10Gi", "10Gi, accessMode: ReadWriteMany", "spec.storage.accessMode".into()),
        ("10Gi", "10Gi, retention: {whenScaled: Keep}", "spec.storage.retention.whenScaled".into()),
        ("cpu: 2", "cpu: 0.5", "spec.pods.resources.limits.cpu".into()),
        ("operator: Exists", "until: noon", "spec.pods.tolerations[0].until".into()),
        ("/v/:fleet/:id", "v/:fleet", agent("route")),
        ("/v/:fleet/:id", "/v/:fleet/", agent("route")),
        ("/v/:fleet/:id", "/shoal-x/:fleet", agent("route")),
        ("route: /w", "route: /v/:fleet/:id", "spec.agents[1]|spec.agents[1].route".into()),
        ("[fleet]", "[ship]", agent("partitionBy") + "|" + &agent("partitionBy[0]")),
        ("[fleet]", "[]", agent("partitionBy")),
        ("name: c,", "name: 1c,", agent("lanes[0].name")),
        ("name: s,", "name: in,", agent("lanes[3].name")),
        ("name: s,", "name: m,", agent("lanes[3]") + "|" + &agent("lanes[3].name")),
        ("type: Supply", "type: Window", agent("lanes[3].type")),
        ("type: Supply", "type: Supply, access: ReadWrite", agent("lanes[3].access")),
        ("type: Supply", "type: Supply, retain: {entries: 1}", agent("lanes[3].retain")),
        ("{name: s, type: Supply}", "{name: s}", agent("lanes[3].type")),
        ("type: Map, retain: {entries: 5}", "type: Map, queue: {items: 5}", agent("lanes[2].queue")),
        ("retain: {entries: 5}", "retain: {entries: 1000001}", agent("lanes[2].retain.entries")),
        ("retain: {entries: 5}", "retain: {}", agent("lanes[2].retain")),
        ("queue: {items: 5}", "queue: {items: 0}", agent("lanes[0].queue.items")),
        ("queue: {items: 5}", "queue: {overflow: Drop}", agent("lanes[0].queue.overflow")),
        ("command: c", "command: d", agent("rules") + "|" + &agent("rules[0].command")),
        ("command: c", "command: v", agent("rules") + "|" + &agent("rules[0].command")),
        ("command: c", "command: c\n      when: true", agent("rules[0].when")),
        ("command: c", "timer: t", agent("rules[0].timer")),
        ("- set: {lane: v, to: event}", "- {}", agent("rules[0].do[0]")),
        ("- set: {lane: v, to: event}", "- set: null", agent("rules[0].do[0]")),
        ("to: event}", "to: event}\n        clear: {lane: m}", agent("rules[0].do[0]")),
        ("to: event", "to: 1", agent("rules[0].do[0].set.to")),
        ("to: event", "to: ''", agent("rules[0].do[0].set.to")),
        ("to: event", "to: event, each: v", agent("rules[0].do[0].set.each")),
        ("lane: v, to: event", "lane: v", agent("rules[0].do[0].set.to")),
        ("lane: v, to: event", "lane: 'v v', to: event", agent("rules[0].do[0].set.lane")),
    ];
    let plans = cases.iter().map(|(from, to, _)| (edited(from, to), String::new()));
    for ((from, to, at), verdict) in cases.iter().zip(verdicts(plans)?) {
        // The API server's path, then the parser's where it is more exact.
        let (theirs, ours) = at.split_once('|').unwrap_or((at, at));
        let refused: Vec<_> = verdict.refused.iter().map(|fault| fault.at.as_str()).collect();
        assert!(refused.contains(&theirs), "`{from}` -> `{to}`: {:?}", verdict.refused);
        let faults = faults(&edited(from, to));
        assert!(faults.iter().any(|at| at == ours), "`{from}` -> `{to}`: {faults:?}");
    }
    Ok(())
}

#[test]
fn a_name_is_short_and_begins_with_a_letter() -> Result<()> {
    let cases = [("p", true), ("a-1", true), ("1a", false), ("a-", false), ("a.b", false)];
    let long = ["x".repeat(40), "x".repeat(41)];
    let cases = cases.into_iter().chain([(long[0].as_str(), true), (long[1].as_str(), false)]);
    let plans = cases.clone().map(|(name, _)| (edited("name: p", &format!("name: {name}")), String::new()));
    for ((name, right), verdict) in cases.zip(verdicts(plans)?) {
        assert_eq!(verdict.refused.is_empty(), right, "{name}: {:?}", verdict.refused);
        assert_eq!(faults(&edited("name: p", &format!("name: {name}"))).is_empty(), right, "{name}");
    }
    Ok(())
}

/// kubectl reads `on` as true, also as a key: the API server is asked about a field `true`.
#[test]
fn a_bare_word_is_refused_everywhere() -> Result<()> {
    let plan = edited("command: c", "command: c\n      on: c");
    let refused = verdicts([(plan.clone(), String::new())])?.remove(0).refused;
    assert_eq!(
        refused.iter().map(|fault| fault.at.as_str()).collect::<Vec<_>>(),
        ["spec.agents[0].rules[0].true"]
    );
    assert!(faults(&plan).contains(&"spec.agents[0].rules[0].on".to_owned()));
    Ok(())
}

#[test]
fn what_cannot_change_is_refused() -> Result<()> {
    let cases = [
        ("slots: 256", "slots: 512", "spec.slots"),
        ("  slots: 256\n", "", "spec.slots"),
        ("10Gi", "9Gi", "spec.storage.size"),
        ("10Gi", "10Gi, accessMode: ReadWriteOnce", "spec.storage.accessMode"),
        ("storageClassName: fast", "storageClassName: slow", "spec.storage.storageClassName"),
        (", storageClassName: fast", "", "spec.storage.storageClassName"),
        ("[fleet]", "[id]", "spec.agents[0].partitionBy"),
        ("[fleet]", "[fleet, id]", "spec.agents[0].partitionBy"),
        ("    partitionBy: [fleet]\n", "", "spec.agents[0].partitionBy"),
        ("route: /w", "route: /w\n    partitionBy: [x]", "spec.agents[1].partitionBy"),
        ("name: s, type: Supply", "name: s, type: Value", "spec.agents[0].lanes[3].type"),
    ];
    let updates = cases.map(|(from, to, _)| (edited(from, to), plans::EACH_KIND.to_owned()));
    for ((from, to, at), verdict) in cases.iter().zip(verdicts(updates)?) {
        let refused: Vec<_> = verdict.refused.iter().map(|fault| fault.at.as_str()).collect();
        assert!(refused.contains(at), "`{from}` -> `{to}`: {:?}", verdict.refused);
    }
    Ok(())
}

#[test]
fn what_may_change_is_taken() -> Result<()> {
    let cases = [
        ("replicas: 3", "replicas: 5"),
        ("10Gi", "20Gi"),
        ("10Gi", "10240Mi"),
        ("management: Managed", "management: Paused"),
        ("cpu: 2", "cpu: 500m"),
        ("    - {name: s, type: Supply}\n", ""),
        ("{name: s, type: Supply}", "{name: t, type: Map}"),
        ("{name: s, type: Supply}", "{name: s, type: Supply}\n    - {name: t, type: Map}"),
        ("retain: {entries: 5}", "retain: {entries: 6}, access: Internal"),
        ("route: /w", "route: /x"),
        ("to: event", "to: '1'"),
    ];
    let updates = cases.map(|(from, to)| (edited(from, to), plans::EACH_KIND.to_owned()));
    for ((from, to), verdict) in cases.iter().zip(verdicts(updates)?) {
        assert!(verdict.refused.is_empty(), "`{from}` -> `{to}`: {:?}", verdict.refused);
    }
    Ok(())
}

/// As much of everything as the schema allows, up to what etcd takes.
#[test]
fn the_largest_plan_is_within_the_budget_of_rules() -> Result<()> {
    let mut plan = String::from(
        "apiVersion: shoal.dev/v1alpha1\nkind: AgentPlan\nmetadata: {name: p}\nspec:\n  agents:\n",
    );
    let parameters: String =
        (0..8).fold(String::new(), |all, n| all + &format!("/:parameter_of_the_route_{n:05}"));
    let command = format!("c{}", "_".repeat(62));
    let lane =
        |n: usize| format!("    - {{name: {:_<63}, type: Map, retain: {{entries: 1}}}}\n", format!("m{n}"));
    let steps = |n: usize| {
        let step =
            format!("{{put: {{lane: {:_<63}, key: '{}', to: '1'}}}}", format!("m{n}"), "0".repeat(260));
        format!("    - {{command: {command}, do: [{step}]}}\n")
    };
    for agent in 0..32 {
        let by: Vec<_> = (0..8).map(|n| format!("parameter_of_the_route_{n:05}")).collect();
        writeln!(plan, "  - route: /a{agent}{parameters}\n    partitionBy: [{}]\n    lanes:", by.join(", "))?;
        (0..63).for_each(|n| plan += &lane(n));
        writeln!(plan, "    - {{name: {command}, type: Command, access: ReadOnly}}\n    rules:")?;
        (0..64).for_each(|n| plan += &steps(n % 63));
    }
    assert!((1_000_000..1_500_000).contains(&plan.len()), "{} bytes", plan.len());
    for verdict in verdicts([(plan.clone(), String::new()), (plan.clone(), plan)])? {
        assert!(verdict.refused.is_empty(), "{:?}", verdict.refused);
        assert!(verdict.cost < COST_MAX / 4, "costs {}", verdict.cost);
    }
    Ok(())
}
