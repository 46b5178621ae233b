//! The table of `kubectl shoal plans`.

use proto::plan::AgentPlan;
use proto::shown::Output;
use serde_json::json;

/// A line for each plan, and one above them for people. `now_s` is the time in seconds since 1970.
pub fn lines(output: Output, plans: &[AgentPlan], now_s: i64) -> Vec<String> {
    let rows: Vec<Row> = plans.iter().map(|plan| Row::of(plan, now_s)).collect();
    match output {
        Output::Json => rows.iter().map(Row::json).collect(),
        Output::Text => table(&rows),
    }
}

struct Row {
    namespace: String,
    name: String,
    /// The status of the condition `Ready`.
    ready: String,
    nodes: (i32, i32),
    slots: (i32, i32),
    age_s: Option<i64>,
}

impl Row {
    fn of(plan: &AgentPlan, now_s: i64) -> Row {
        let status = plan.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let slots = status.slots.unwrap_or_default();
        let created = plan.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
        Row {
            namespace: plan.metadata.namespace.clone().unwrap_or_default(),
            name: plan.metadata.name.clone().unwrap_or_default(),
            ready: ready.map_or("Unknown", |condition| &condition.status).to_owned(),
            nodes: (status.ready_replicas, plan.spec.replicas),
            slots: (slots.owned, plan.spec.slots),
            age_s: created.map(|created| (now_s - created).max(0)),
        }
    }

    fn json(&self) -> String {
        let Row { namespace, name, ready, nodes, slots, age_s } = self;
        json!({
            "namespace": namespace, "name": name, "ready": ready, "nodesReady": nodes.0, "nodes": nodes.1,
            "slotsServed": slots.0, "slots": slots.1, "ageSeconds": age_s,
        })
        .to_string()
    }
}

fn table(rows: &[Row]) -> Vec<String> {
    let head = ["NAMESPACE", "NAME", "READY", "NODES", "SLOTS", "AGE"].map(str::to_owned);
    let of = |(some, all): (i32, i32)| format!("{some}/{all}");
    let cells = rows.iter().map(|Row { namespace, name, ready, nodes, slots, age_s }| {
        let age = age_s.map_or("-".into(), age);
        [namespace.clone(), name.clone(), ready.clone(), of(*nodes), of(*slots), age]
    });
    let cells: Vec<_> = [head].into_iter().chain(cells).collect();
    let width = |column: usize| cells.iter().map(|row: &[String; 6]| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   "));
        padded.collect::<Vec<_>>().concat().trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// As kubectl shows it.
fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: &str, small: i64, of: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{of}"),
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
#[allow(clippy::needless_raw_string_hashes)] // expect-test writes them
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_plan_is_a_row() {
        let plan = |name: &str, status: serde_json::Value| -> AgentPlan {
            serde_json::from_value(json!({
                "apiVersion": "shoal.dev/v1alpha1", "kind": "AgentPlan",
                "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"replicas": 3, "agents": []}, "status": status,
            }))
            .unwrap()
        };
        let condition = json!({"type": "Ready", "status": "True", "reason": "Serving", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let plans = [
            plan(
                "a-long-name",
                json!({"readyReplicas": 3, "slots": {"owned": 4096}, "conditions": [condition]}),
            ),
            plan("new", json!({})),
        ];
        let now_s = 1_767_225_600 + 3 * 86_400 + 7_200;
        expect![[r#"
            NAMESPACE   NAME          READY     NODES   SLOTS       AGE
            shop        a-long-name   True      3/3     4096/4096   3d2h
            shop        new           Unknown   0/3     0/4096      3d2h"#]]
        .assert_eq(&lines(Output::Text, &plans, now_s).join("\n"));
        expect![[r#"
            {"ageSeconds":266400,"name":"a-long-name","namespace":"shop","nodes":3,"nodesReady":3,"ready":"True","slots":4096,"slotsServed":4096}
            {"ageSeconds":266400,"name":"new","namespace":"shop","nodes":3,"nodesReady":0,"ready":"Unknown","slots":4096,"slotsServed":0}"#]].assert_eq(&lines(Output::Json, &plans, now_s).join("\n"));
    }

    #[test]
    fn ages_are_those_of_kubectl() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (125, "2m5s"),
            (540, "9m"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (47 * 3600, "47h"),
            (50 * 3600, "2d2h"),
            (9 * 86_400, "9d"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }
}
