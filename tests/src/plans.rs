//! The plans that tests and benches run. Those of users lie in `crds/samples`.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Writes a plan into a folder, for `agent-node dev`.
pub fn write(folder: &Path, plan: &str) -> io::Result<PathBuf> {
    let path = folder.join("plan.yaml");
    fs::write(&path, plan)?;
    Ok(path)
}

/// One rule with one step: the least that a command can do.
pub const COUNTER: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: counters}
spec:
  replicas: 1
  agents:
  - route: /counter/:id
    lanes:
    - {name: add, type: Command}
    - {name: total, type: Value, initial: 0}
    rules:
    - command: add
      do:
      - set: {lane: total, to: total + event.n}
";

/// Agents with two Value lanes.
pub const METERS: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: meters}
spec:
  replicas: 1
  agents:
  - route: /meter/:id
    lanes:
    - {name: read, type: Command}
    - {name: count, type: Value, initial: 0}
    - {name: last, type: Value}
    rules:
    - command: read
      do:
      - set: {lane: count, to: count + 1}
      - set: {lane: last, to: event}
";

/// One Value lane that takes what is sent.
pub const LAST_READING: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: meters}
spec:
  replicas: 1
  agents:
  - route: /meter/:id
    lanes:
    - {name: read, type: Command}
    - {name: value, type: Value, initial: 0}
    rules:
    - command: read
      do:
      - set: {lane: value, to: event}
";

/// The spec of a plan whose sources send to sinks: what `go` names as `to` counts one more.
pub const MESSAGES: &str = r#"{
    "replicas": 2, "slots": 256, "storage": {"size": "1Gi"},
    "agents": [
        {"route": "/source/:id", "lanes": [{"name": "go", "type": "Command"}],
         "rules": [{"command": "go", "do": [{"send": {"agent": "event.to", "lane": "take"}}]}]},
        {"route": "/sink/:id",
         "lanes": [{"name": "take", "type": "Command"}, {"name": "taken", "type": "Value", "initial": 0}],
         "rules": [{"command": "take", "do": [{"set": {"lane": "taken", "to": "taken + 1"}}]}]}
    ]
}"#;

/// Counters, and agents that send what they hear to themselves until the hops end.
pub const COUNTERS_AND_ECHO: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: counters}
spec:
  replicas: 1
  agents:
  - route: /counter/:id
    lanes:
    - {name: add, type: Command}
    - {name: total, type: Value, initial: 0}
    - {name: note, type: Value, access: ReadWrite}
    rules:
    - command: add
      do:
      - set: {lane: total, to: total + event.n}
  - route: /echo/:id
    lanes:
    - {name: hear, type: Command}
    - {name: heard, type: Value, initial: 0}
    rules:
    - command: hear
      do:
      - set: {lane: heard, to: heard + 1}
      - send: {agent: here, lane: hear}
";

/// Counters that keep the parts of their total, and a lane that clients write.
pub const COUNTERS: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: counters}
spec:
  replicas: 2
  agents:
  - route: /counter/:id
    lanes:
    - {name: add, type: Command}
    - {name: total, type: Value, initial: 0}
    - {name: parts, type: Map}
    - {name: note, type: Value, access: ReadWrite}
    rules:
    - command: add
      do:
      - set: {lane: total, to: total + event.n}
      - put: {lane: parts, key: string(event.n), to: event}
";

/// The agents of a [`Feed`](crate::lanes::Feed): `add` has a number and an id of its own each time.
pub const FED: &str = r"
  - route: /counter/:id
    lanes:
    - {name: add, type: Command}
    - {name: total, type: Value, initial: 0}
    - {name: ids, type: Map}
    rules:
    - command: add
      do:
      - set: {lane: total, to: total + event.n}
      - put: {lane: ids, key: event.id, to: event.n}
";

/// Agents without rules, whose lanes clients write, and one lane whose watchers hold its commands back.
pub const WRITTEN_BY_CLIENTS: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: strangers}
spec:
  replicas: 1
  slots: 256
  agents:
  - route: /a/:id
    lanes:
    - {name: note, type: Value, access: ReadWrite}
    - {name: notes, type: Map, access: ReadWrite}
    - {name: hear, type: Command, queue: {items: 1, overflow: Block}}
    - {name: hidden, type: Value, access: Internal}
";

/// Large Maps, and agents without state.
pub const SHELVES: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: shelves}
spec:
  replicas: 1
  agents:
  - route: /shelf/:id
    lanes:
    - {name: books, type: Map, access: ReadWrite, retain: {entries: 100000}}
    - {name: note, type: Value}
";

/// A plan with every kind of lane, for what an API server takes and refuses of one.
pub const EACH_KIND: &str = "
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: p}
spec:
  replicas: 3
  slots: 256
  management: Managed
  http: {origins: ['https://shop.example', 'http://[::1]:8080']}
  storage: {size: 10Gi, storageClassName: fast}
  pods:
    resources: {limits: {cpu: 2, memory: 1Gi}}
    tolerations: [{key: a, operator: Exists}]
    labels: {team: a}
    annotations: {example.org/a: b}
    affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: rack}]}}
    topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
    priorityClassName: high
    serviceAccountName: nodes
    securityContext: {fsGroup: 1000}
  service: {type: LoadBalancer, annotations: {example.org/lb: internal}}
  agents:
  - route: /v/:fleet/:id
    partitionBy: [fleet]
    expire: 1h30m
    timers: [{name: t, afterOutage: Each}, {name: once}]
    lanes:
    - {name: c, type: Command, queue: {items: 5}}
    - {name: v, type: Value, initial: {a: [1, null]}}
    - {name: m, type: Map, retain: {entries: 5}}
    - {name: s, type: Supply}
    rules:
    - command: c
      do:
      - set: {lane: v, to: event}
      - put: {lane: m, each: event.all, key: item, to: item, when: item != null}
      - refuse: {with: event.why, code: 409, when: v == null}
      - answer: v
      - schedule: {timer: once, key: event, after: duration('1m'), when: v != 1}
      - end: {when: v == 1}
    - timer: once
      do:
      - schedule: {timer: t, every: duration('1h')}
      - cancel: {timer: t, key: key}
  - route: /w
    lanes:
    - {name: v, type: Value, access: ReadWrite, schema: {type: Int}}
    - {name: aged, type: Map, retain: {age: 24h}}
";

/// Agents that tell others what these take, and what they do not.
pub const TELLING: &str = r#"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: counters}
spec:
  replicas: 1
  agents:
  - route: /counter/:id
    lanes:
    - {name: add, type: Command}
    - {name: tell, type: Command}
    - {name: mistell, type: Command}
    - {name: total, type: Value, initial: 0}
    - {name: note, type: Value, access: ReadWrite}
    rules:
    - command: add
      do:
      - set: {lane: total, to: total + event.n}
    - command: tell
      do:
      - send: {agent: event.to, lane: add, body: "{'n': 1}"}
    - command: mistell
      do:
      - send: {agent: event.to, lane: add, body: "{'m': 1}"}
"#;

/// Agents of which each change shows which write it comes from, and how often that had its effect: clients write `note`
/// and `notes`; `count` counts each of its commands by its id, and has another agent count it too.
pub const HISTORY: &str = r#"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: history}
spec:
  replicas: 3
  agents:
  - route: /thing/:id
    lanes:
    - {name: note, type: Value, access: ReadWrite}
    - {name: notes, type: Map, access: ReadWrite}
    - {name: count, type: Command}
    - {name: counts, type: Map}
    - {name: last, type: Value}
    - {name: done, type: Supply}
    - {name: hear, type: Command}
    - {name: heard, type: Map}
    - {name: rang, type: Map}
    timers:
    - {name: ring}
    rules:
    - command: count
      do:
      - put: {lane: counts, key: event.id, to: "event.id in counts ? counts[event.id] + 1 : 1"}
      - set: {lane: last, to: event.id}
      - emit: {lane: done, body: event.id}
      - send: {agent: event.to, lane: hear, body: event.id}
      - schedule: {timer: ring, key: event.id, after: duration('1500ms')}
    - timer: ring
      do:
      - put: {lane: rang, key: key, to: "now < timestamp(event.due) ? -1 : key in rang ? rang[key] + 1 : 1"}
    - command: hear
      do:
      - put: {lane: heard, key: event, to: "event in heard ? heard[event] + 1 : 1"}
"#;
