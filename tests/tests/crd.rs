//! The CRD under Kubernetes' own validator: what an API server takes and what it refuses, and that the parser of dev
//! mode and nodes says the same.

use anyhow::{Result, anyhow};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use proto::plan::Plan;
use proto::value::Value;
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
    Plan::from_yaml(plan).err().unwrap_or_default().into_iter().map(|error| error.at).collect()
}

#[test]
fn the_samples_are_taken() -> Result<()> {
    let samples = std::fs::read_dir(workspace().join("crds/samples"))?;
    let samples = samples.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let samples = samples.into_iter().filter(|path| path.is_file());
    let mut plans = samples.map(|path| Ok(std::fs::read_to_string(path)?)).collect::<Result<Vec<_>>>()?;
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

/// Each plan, edited so, is refused by the API server and by the parser, with the path; after `|` that of the parser where
/// it is more exact.
fn check_refusals(cases: &[(&str, &str, String)]) -> Result<()> {
    let plans = cases.iter().map(|(from, to, _)| (edited(from, to), String::new()));
    for ((from, to, at), verdict) in cases.iter().zip(verdicts(plans)?) {
        let (theirs, ours) = at.split_once('|').unwrap_or((at, at));
        let refused: Vec<_> = verdict.refused.iter().map(|fault| fault.at.as_str()).collect();
        assert!(refused.contains(&theirs), "`{from}` -> `{to}`: {:?}", verdict.refused);
        let faults = faults(&edited(from, to));
        assert!(faults.iter().any(|at| at == ours), "`{from}` -> `{to}`: {faults:?}");
    }
    Ok(())
}

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
        ("name: s,", "name: faults,", agent("lanes[3].name")),
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
        ("- set: {lane: v, to: event}", "- {}", agent("rules[0].do[0]")),
        ("- set: {lane: v, to: event}", "- set: null", agent("rules[0].do[0]")),
        ("to: event}", "to: event}\n        clear: {lane: m}", agent("rules[0].do[0]")),
        ("to: event", "to: 1", agent("rules[0].do[0].set.to")),
        ("to: event", "to: ''", agent("rules[0].do[0].set.to")),
        ("to: event", "to: event, every: v", agent("rules[0].do[0].set.every")),
        ("each: event.all", "each: [1]", agent("rules[0].do[1].put.each")),
        ("code: 409", "code: 410", agent("rules[0].do[2].refuse.code")),
        ("code: 409", "code: '409'", agent("rules[0].do[2].refuse.code")),
        ("with: event.why, ", "", agent("rules[0].do[2].refuse.with")),
        ("answer: v", "answer: 1", agent("rules[0].do[3].answer")),
        ("answer: v", "answer: {to: v}", agent("rules[0].do[3].answer")),
        ("lane: v, to: event", "lane: v", agent("rules[0].do[0].set.to")),
        ("lane: v, to: event", "lane: 'v v', to: event", agent("rules[0].do[0].set.lane")),
    ];
    check_refusals(&cases)
}

#[test]
fn what_is_wrong_of_timers_and_lifetimes_is_refused_with_its_path() -> Result<()> {
    let agent = |field: &str| format!("spec.agents[0].{field}");
    let cases = [
        ("command: c", "timer: u", agent("rules") + "|" + &agent("rules[0].timer")),
        ("command: c", "command: c\n      timer: t", agent("rules[0]")),
        ("timer: once\n", "when: v == 1\n", agent("rules[1]")),
        ("1h30m", "5d", agent("expire")),
        ("1h30m", "'-1h'", agent("expire")),
        ("age: 24h", "age: tomorrow", "spec.agents[1].lanes[1].retain.age".into()),
        ("afterOutage: Each", "afterOutage: Never", agent("timers[0].afterOutage")),
        ("{name: once}", "{name: t}", agent("timers[1]") + "|" + &agent("timers[1].name")),
        ("every: duration('1h')}", "every: duration('1h'), at: now}", agent("rules[1].do[0].schedule")),
        ("every: duration('1h')}", "key: key}", agent("rules[1].do[0].schedule")),
        ("cancel: {timer: t, key: key}", "cancel: {key: key}", agent("rules[1].do[1].cancel.timer")),
        ("end: {when: v == 1}", "end: {when: v == 1, each: m}", agent("rules[0].do[5].end.each")),
    ];
    check_refusals(&cases)
}

#[test]
fn what_is_wrong_of_pods_and_service_is_refused_with_its_path() -> Result<()> {
    let term = "spec.pods.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
    check_refusals(&[
        ("team: a", "team: 1", "spec.pods.labels.team".into()),
        ("team: a", "shoal.dev/plan: other", "spec.pods.labels".into()),
        ("team: a", "app.kubernetes.io/name: other", "spec.pods.labels".into()),
        ("podAntiAffinity", "podRepulsion", "spec.pods.affinity.podRepulsion".into()),
        ("topologyKey: rack", "key: rack", term.to_owned() + ".key|" + term + ".topologyKey"),
        ("maxSkew: 1", "maxSkew: one", "spec.pods.topologySpreadConstraints[0].maxSkew".into()),
        ("fsGroup: 1000", "fsGroup: staff", "spec.pods.securityContext.fsGroup".into()),
        ("type: LoadBalancer", "type: ExternalName", "spec.service.type".into()),
    ])
}

#[test]
fn a_name_is_short_and_begins_with_a_letter() -> Result<()> {
    let cases = [
        ("p", true),
        ("a-1", true),
        ("1a", false),
        ("a-", false),
        ("a.b", false),
        ("a-nodes", false),
        ("a-metrics", false),
        ("nodes", true),
    ];
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

/// A plan with one lane that begins with this.
fn beginning(with: &str) -> String {
    format!(
        "apiVersion: shoal.dev/v1alpha1\nkind: AgentPlan\nmetadata:\n  name: p\nspec:\n  storage: {{size: 1Gi}}\n  \
         agents:\n  - route: /a\n    lanes:\n    - name: v\n      type: Value\n      initial: {with}\n"
    )
}

/// A text, what dev mode makes of its `initial`, and what kubectl sends of a file and of a kustomization.
struct Reading {
    text: String,
    ours: Option<Value>,
    theirs: [Option<Value>; 2],
}

fn readings(texts: Vec<String>) -> Result<Vec<Reading>> {
    let sent = tests::crdcheck::read(&texts)?;
    let read = |(text, sent): (String, &str)| {
        // What they send has numbers that do not fit where it cannot be read.
        let sent = proto::json::parse(sent.as_bytes()).unwrap_or_default();
        let theirs = ["file", "kustomization"].map(|way| {
            let agents = member(member(member(&sent, way)?, "spec")?, "agents")?;
            member(first(member(first(agents)?, "lanes")?)?, "initial").cloned()
        });
        let plan = Plan::from_yaml(&text).ok();
        let ours = plan.map(|(plan, _)| plan.spec.agents[0].lanes[0].initial.clone().unwrap_or_default());
        Reading { text, ours, theirs }
    };
    Ok(texts.into_iter().zip(sent.lines()).map(read).collect())
}

fn member<'a>(of: &'a Value, name: &str) -> Option<&'a Value> {
    if let Value::Record(record) = of { record.get(name) } else { None }
}

fn first(of: &Value) -> Option<&Value> {
    if let Value::List(items) = of { items.first() } else { None }
}

impl Reading {
    /// Taken, and not what both send.
    fn differs(&self) -> bool {
        self.ours.is_some() && self.theirs.iter().any(|theirs| *theirs != self.ours)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reading { text, ours, theirs } = self;
        let text = text.split_once("initial: ").map_or(text.as_str(), |(_, text)| text);
        writeln!(out, "{text:?} is {ours:?}, and to kubectl {theirs:?}")
    }
}

/// What `dev` takes, as kubectl and kustomize read it.
const TAKEN: [&str; 80] = [
    "0644",
    "-0644",
    "1_000",
    "010000",
    "0x1F",
    "0b101",
    "0o17",
    "+0x1f",
    "08",
    "09.5",
    "00",
    "0_",
    "1__0",
    "1e3",
    "1e16",
    "1e18",
    "-0",
    "-0.0",
    "+5",
    "+.5",
    ".5",
    ".",
    "._5",
    "1.",
    "1.e5",
    "1E+5",
    "1e-7",
    "0.1",
    "5e-324",
    "1_000.5",
    "123456789.123456789",
    "_1",
    "190:20:30",
    "12:30",
    "1.2.3",
    "0x",
    "0b2",
    "1e",
    "--1",
    "+-1",
    "infinity",
    "NaN",
    "9223372036854775807",
    "\t1",
    "-9223372036854775808",
    "~",
    "null",
    "Null",
    "NULL",
    "",
    "true",
    "True",
    "TRUE",
    "tRue",
    "False",
    "'0644'",
    "\"on\"",
    "'2001-01-01'",
    "a b",
    "a #b",
    "a#b",
    "=",
    "\"\\x41\\u00e9\\n\"",
    "'it''s'",
    "|\n        a\n        b",
    ">-\n        a\n        b",
    "|+\n        a\n\n",
    "a\n        b",
    "[1, [2, 0x3], {a: 04}]",
    "{b: 1, a: 2}",
    "{'1': x, \"y\": 1}",
    "[a, ]",
    "[]",
    "{}",
    "\n      - 1\n      - a: 2",
    "\n        a: &x {b: 1}\n        c: *x",
    "\n        a: &x {b: 1, c: 2}\n        d: {<<: *x, c: 3}",
    "\n        a: &x {b: 1}\n        b: &y {b: 2, c: 2}\n        d: {<<: [*x, *y], e: 3}",
    "{a: {b: {c: [~, 'n', 1.50]}}} # on",
    "\"a\\\n        b\"",
];

/// What it refuses, since the two differ, or one of them refuses it.
const REFUSED: [&str; 40] = [
    "on",
    "Off",
    "y",
    "N",
    "yes",
    "{on: 1}",
    "[no]",
    "2001-01-01",
    "2001-1-1",
    "2001-12-14t21:59:43.10-05:00",
    "0o-7",
    "0b-1",
    ".inf",
    "-.INF",
    ".nan",
    "1e400",
    "9223372036854775808",
    "18446744073709551616",
    "1e19",
    "1e20",
    "0xFFFFFFFFFFFFFFFFF",
    "{1: a}",
    "{true: a}",
    "{~: a}",
    "{1.5: a}",
    "{a: 1, a: 2}",
    "!!str 5",
    "!x y",
    "*x",
    "[1",
    "{a: 1, <<: {a: 2}}",
    "{<<: 1}",
    "a: b: c",
    "@a",
    "`a`",
    "%a",
    "\"\\q\"",
    "'a",
    "{[a]: 1}",
    "a\u{2028}b",
];

/// Scalars, names and structures as people write them: taken, and then as kubectl reads them, or refused.
#[test]
fn dev_reads_yaml_as_kubectl_does() -> Result<()> {
    let texts = TAKEN.iter().chain(&REFUSED).map(|text| beginning(text)).collect();
    let readings = readings(texts)?;
    let differ: Vec<_> = readings.iter().filter(|reading| reading.differs()).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    let (taken, refused) = readings.split_at(TAKEN.len());
    for reading in taken {
        assert!(reading.ours.is_some(), "{reading:?}: {:?}", Plan::from_yaml(&reading.text).map(|_| ()));
    }
    let wrong: Vec<_> = refused.iter().filter(|reading| reading.ours.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

/// What random texts are made of.
const TOKENS: [&str; 61] = [
    "a",
    "b: ",
    "- ",
    "\n        ",
    "\n          ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ": ",
    "'",
    "\"",
    "|",
    ">",
    "|-",
    "\n\n",
    "&x ",
    "*x",
    "<<: ",
    " #",
    "#",
    "1",
    "0",
    "_",
    ".",
    "e",
    "x",
    "-",
    "+",
    "~",
    "null",
    "on",
    "true",
    "\t",
    "!",
    "%",
    "@",
    "?",
    "? ",
    "\\",
    "\\n",
    "\u{e9}",
    "y",
    "0x",
    "0o",
    "0b",
    "12:30",
    "2001-01-01",
    " ",
    "=",
    "---",
    "\n---\n",
    "\r\n",
    "\u{feff}",
    "\u{a0}",
    "\\\n",
    "''",
    "\"\"",
    "a: 1",
    "b: 2\n        c: 3",
];

/// Any text: what dev mode takes, kubectl reads as the same.
#[test]
fn no_yaml_means_two_things() -> Result<()> {
    let text = proptest::collection::vec(proptest::sample::select(&TOKENS[..]), 1..9);
    let mut runner = TestRunner::deterministic();
    let count = if std::env::var_os("SHOAL_LONG").is_some() { 200_000 } else { 10_000 };
    let texts = (0..count)
        .map(|_| Ok(beginning(&text.new_tree(&mut runner).map_err(|why| anyhow!(why))?.current().concat())));
    let texts = texts.collect::<Result<Vec<String>>>()?;
    let readings = readings(texts)?;
    let taken = readings.iter().filter(|reading| reading.ours.is_some()).count();
    assert!(taken > count / 10, "{taken} of {count} are taken");
    let differ: Vec<_> = readings.iter().filter(|reading| reading.differs()).take(20).collect();
    assert!(differ.is_empty(), "{differ:#?}");
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

/// `has`: the nodes of the ring; `None`: there is none yet.
#[test]
fn the_number_of_nodes_changes_until_there_is_a_ring_and_back_to_its_own() -> Result<()> {
    let cases = [
        (None, 3, 5, true),
        (Some(3), 3, 3, true),
        (Some(3), 3, 5, false),
        (Some(3), 3, 2, false),
        // One that differs already hinders no other change, may be set back, and to nothing else.
        (Some(3), 5, 5, true),
        (Some(3), 5, 3, true),
        (Some(3), 5, 4, false),
    ];
    let plan = |has: Option<u32>, replicas: u32| {
        let status = has.map_or(String::new(), |has| format!("status: {{nodes: {has}}}\n"));
        edited("replicas: 3", &format!("replicas: {replicas}")) + &status
    };
    let updates = cases.map(|(has, old, new, _)| (plan(has, new), plan(has, old)));
    for ((has, old, new, is_taken), verdict) in cases.iter().zip(verdicts(updates)?) {
        let refused: Vec<_> =
            verdict.refused.iter().map(|fault| format!("{}: {}", fault.at, fault.error)).collect();
        let expected = "the number of nodes cannot be changed yet";
        assert_eq!(refused.is_empty(), *is_taken, "{has:?}: {old} -> {new}: {refused:?}");
        assert!(
            *is_taken || refused.iter().any(|one| one.starts_with("spec.replicas") && one.contains(expected))
        );
    }
    Ok(())
}

/// `revision`: of the ring; `None`: there is none yet.
#[test]
fn whose_volumes_a_plan_has_adopted_is_no_other_once_there_is_a_ring() -> Result<()> {
    let cases = [
        (None, "", "a", true),
        (None, "a", "b", true),
        (Some(1), "a", "a", true),
        (Some(1), "a", "b", false),
        // The ring says it as well, so that it may be taken away and set back.
        (Some(1), "a", "", true),
        (Some(1), "", "a", true),
    ];
    let plan = |revision: Option<u32>, uid: &str| {
        let status = revision.map_or(String::new(), |revision| format!("status: {{revision: {revision}}}\n"));
        let recovery =
            if uid.is_empty() { String::new() } else { format!("\n  recovery: {{adoptVolumesOf: {uid}}}") };
        edited("replicas: 3", &format!("replicas: 3{recovery}")) + &status
    };
    let updates = cases.map(|(revision, old, new, _)| (plan(revision, new), plan(revision, old)));
    for ((revision, old, new, is_taken), verdict) in cases.iter().zip(verdicts(updates)?) {
        let refused: Vec<_> =
            verdict.refused.iter().map(|fault| format!("{}: {}", fault.at, fault.error)).collect();
        assert_eq!(refused.is_empty(), *is_taken, "{revision:?}: {old} -> {new}: {refused:?}");
        let expected = "adoptVolumesOf cannot be another uid";
        assert!(
            *is_taken || refused.iter().any(|one| one.starts_with("spec.recovery") && one.contains(expected))
        );
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
