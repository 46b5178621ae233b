//! What the operator may do to the Kubernetes API: exactly what it does. The chart's roles are compared with this.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub group: &'static str,
    pub resource: &'static str,
    pub verbs: &'static [&'static str],
    pub what_for: &'static str,
}

const fn rule(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    what_for: &'static str,
) -> Rule {
    Rule { group, resource, verbs, what_for }
}

/// An object that is not there is created; one that is there is applied.
const APPLIED: &[&str] = &["get", "list", "watch", "create", "patch"];

/// In the namespaces whose plans it runs.
pub const PLANS: &[Rule] = &[
    rule("shoal.dev", "agentplans", &["get", "list", "watch"], "what is wished"),
    rule("shoal.dev", "agentplans/status", &["patch"], "how it stands"),
    rule("", "serviceaccounts", APPLIED, "of the nodes; it may do nothing"),
    rule("", "services", APPLIED, "names of the nodes, and a way in for clients"),
    rule("networking.k8s.io", "networkpolicies", APPLIED, "closes the nodes' port for peers"),
    rule("policy", "poddisruptionbudgets", APPLIED, "one node at a time"),
    rule("apps", "statefulsets", APPLIED, "the nodes"),
    rule("", "secrets", &["get", "create", "patch"], "the plan's CA, made once, and the nodes' certificates"),
    rule("", "configmaps", APPLIED, "the ring; patched only where an older one was put in its place"),
    rule(
        "coordination.k8s.io",
        "leases",
        &["get"],
        "whether the operator that a plan belongs to is still there",
    ),
    rule("", "pods", &["list", "watch"], "where nodes are, and what keeps them"),
    rule(
        "",
        "persistentvolumeclaims",
        &["list", "watch", "patch"],
        "whose the volumes are, and whether they go with their plan",
    ),
    rule(
        "events.k8s.io",
        "events",
        &["list", "create", "patch"],
        "what has changed, and why pods do not come",
    ),
];

/// In its own namespace.
pub const OWN: &[Rule] =
    &[rule("coordination.k8s.io", "leases", &["get", "create", "update"], "which of several operators acts")];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn table(rules: &[Rule]) -> String {
        let mut text = String::from("| group | resource | verbs | for |\n|---|---|---|---|\n");
        for Rule { group, resource, verbs, what_for } in rules {
            let group = if group.is_empty() { "core" } else { group };
            let _ = writeln!(text, "| {group} | {resource} | {} | {what_for} |", verbs.join(", "));
        }
        text
    }

    #[test]
    fn the_document_says_what_the_operator_may_do() {
        let text = include_str!("../docs/rbac.md");
        for rules in [PLANS, OWN] {
            assert!(text.contains(&table(rules)), "operator/docs/rbac.md lacks:\n{}", table(rules));
        }
    }
}
