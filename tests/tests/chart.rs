//! The chart, as Helm renders it.

use operator::access::{OWN, PLANS, Rule};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tests::dev::root;

fn chart() -> PathBuf {
    root().join("charts/shoal")
}

fn helm(arguments: &[&str]) -> Output {
    Command::new(root().join("tests/cluster")).arg("helm").args(arguments).output().unwrap()
}

fn rendered(values: &[&str]) -> Vec<Value> {
    let chart = chart();
    let mut arguments = vec!["template", "shoal", chart.to_str().unwrap(), "--namespace", "shoal-system"];
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    let done = helm(&arguments);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let documents = text.split("\n---\n").map(|one| serde_yaml_ng::from_str::<Value>(one).unwrap());
    documents.filter(|one| !one.is_null()).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// Group and resource -> verbs.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn rights(role: &Value) -> Rights {
    let texts = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut rights = Rights::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.entry((group.clone(), resource)).or_default().extend(texts(&rule["verbs"]));
            }
        }
    }
    rights
}

fn wanted(rules: &[Rule]) -> Rights {
    let verbs = |rule: &Rule| rule.verbs.iter().map(ToString::to_string).collect();
    rules.iter().map(|rule| ((rule.group.into(), rule.resource.into()), verbs(rule))).collect()
}

/// ClusterRoles that are no part of Kubernetes' own for people.
fn not_of_people(objects: &[Value]) -> Vec<&Value> {
    let is_part =
        |role: &&Value| !role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"].is_null();
    of_kind(objects, "ClusterRole").into_iter().filter(|role| !is_part(role)).collect()
}

#[test]
fn who_may_view_reads_plans_and_who_may_edit_changes_them() {
    let objects = rendered(&[]);
    let may = |kind: &str| -> BTreeSet<(String, String)> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{kind}");
        let parts = of_kind(&objects, "ClusterRole")
            .into_iter()
            .filter(|role| role["metadata"]["labels"][&label] == "true");
        let rights = parts.flat_map(rights);
        rights
            .flat_map(|((_, resource), verbs)| verbs.into_iter().map(move |verb| (resource.clone(), verb)))
            .collect()
    };
    let read = |(_, verb): &(String, String)| ["get", "list", "watch"].contains(&verb.as_str());
    assert!(!may("view").is_empty() && may("view").iter().all(read));
    assert!(may("edit").is_superset(&may("view")) && may("admin") == may("edit"));
    for verb in ["create", "update", "patch", "delete"] {
        assert!(may("edit").contains(&("agentplans".into(), verb.into())), "{verb}");
    }
    assert!(!may("edit").iter().any(|(resource, verb)| resource == "agentplans/status"
        && verb != "get"
        && verb != "list"
        && verb != "watch"));
    assert!(of_kind(&rendered(&["aggregatedRoles.create=false"]), "ClusterRole").len() == 1);
}

/// Helm asks for the log of a pod of every test's name in the release's namespace.
#[test]
fn helm_finds_the_log_of_each_test() {
    for values in [&[][..], &["namespaces={here,there}"]] {
        let objects = rendered(values);
        let hooks: Vec<_> = objects
            .iter()
            .filter(|object| object["metadata"]["annotations"]["helm.sh/hook"] == "test")
            .collect();
        assert_eq!(hooks.len(), 2);
        let pod = of_kind(&objects, "Pod")[0];
        assert_eq!(pod["metadata"]["namespace"], "shoal-system");
        assert!(hooks.iter().all(|hook| hook["metadata"]["name"] == pod["metadata"]["name"]));
        assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"], "before-hook-creation");
    }
}

#[test]
fn two_operators_stand_by_for_each_other_unless_there_is_one() {
    let objects = rendered(&[]);
    let deployment = of_kind(&objects, "Deployment")[0];
    let template = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(template["spec"]["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    let budget = of_kind(&objects, "PodDisruptionBudget")[0];
    for (name, value) in budget["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(template["metadata"]["labels"][name], *value);
    }
    assert!(of_kind(&rendered(&["replicas=1"]), "PodDisruptionBudget").is_empty());
}

#[test]
fn metrics_are_found_by_service_and_monitors() {
    let objects =
        rendered(&["serviceMonitor.create=true", "podMonitor.create=true", "podMonitor.labels.release=p"]);
    let service = of_kind(&objects, "Service")[0];
    let operator = &of_kind(&objects, "Deployment")[0]["spec"]["template"];
    for (name, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(operator["metadata"]["labels"][name], *value);
    }
    let port = &service["spec"]["ports"][0];
    assert_eq!(operator["spec"]["containers"][0]["ports"][0]["name"], port["targetPort"]);
    let monitor = &of_kind(&objects, "ServiceMonitor")[0]["spec"];
    assert_eq!(monitor["endpoints"][0]["port"], port["name"]);
    for (name, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(service["metadata"]["labels"][name], *value);
    }
    let monitor = of_kind(&objects, "PodMonitor")[0];
    assert_eq!(monitor["metadata"]["labels"]["release"], "p");
    let labels = operator::names::labels("flights");
    for (name, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(labels[name], *value, "a node has it");
    }
    assert_eq!(monitor["spec"]["namespaceSelector"]["any"], true);
    let named = rendered(&["podMonitor.create=true", "namespaces={here,there}"]);
    let selector = &of_kind(&named, "PodMonitor")[0]["spec"]["namespaceSelector"];
    assert_eq!(*selector, serde_json::json!({"matchNames": ["here", "there"]}));
    let plain = rendered(&[]);
    assert!(of_kind(&plain, "ServiceMonitor").is_empty() && of_kind(&plain, "PodMonitor").is_empty());
}

/// The files are for those too who have no Prometheus operator.
#[test]
fn alerts_and_the_dashboard_come_as_they_lie_in_the_chart_when_they_are_wished_for() {
    let read = |name: &str| fs::read_to_string(chart().join("files").join(name)).unwrap();
    let objects = rendered(&[
        "prometheusRule.create=true",
        "prometheusRule.labels.release=p",
        "dashboard.create=true",
        "dashboard.annotations.grafana_folder=f",
        "annotations.owner=b",
    ]);
    let rule = of_kind(&objects, "PrometheusRule")[0];
    assert_eq!(rule["spec"], serde_yaml_ng::from_str::<Value>(&read("alerts.yaml")).unwrap());
    assert_eq!(rule["metadata"]["labels"]["release"], "p");
    let dashboard = of_kind(&objects, "ConfigMap")[0];
    let text = dashboard["data"]["shoal.json"].as_str().unwrap();
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(parsed(text), parsed(&read("dashboard.json")));
    let meta = &dashboard["metadata"];
    assert_eq!(meta["labels"]["grafana_dashboard"], "1");
    assert_eq!(
        (&meta["annotations"]["grafana_folder"], &meta["annotations"]["owner"]),
        (&"f".into(), &"b".into())
    );
    let plain = rendered(&[]);
    assert!(of_kind(&plain, "PrometheusRule").is_empty() && of_kind(&plain, "ConfigMap").is_empty());
}

#[test]
fn what_the_values_add_stands_in_the_objects() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let objects = rendered(&[
        "labels.team=a",
        "annotations.owner=b",
        "podLabels.pod=c",
        "podAnnotations.note=d",
        &format!("image.digest={digest}"),
        &format!("nodeImage.digest={digest}"),
        "imagePullSecrets[0].name=pull",
        "concurrency=3",
        "priorityClassName=high",
        "podSecurityContext.fsGroup=7",
        "serviceMonitor.create=true",
        "podMonitor.create=true",
        "prometheusRule.create=true",
        "dashboard.create=true",
    ]);
    let hook = |object: &Value| !object["metadata"]["annotations"]["helm.sh/hook"].is_null();
    for object in objects.iter().filter(|one| one["kind"] != "CustomResourceDefinition" && !hook(one)) {
        let meta = &object["metadata"];
        assert_eq!(
            (&meta["labels"]["team"], &meta["annotations"]["owner"]),
            (&"a".into(), &"b".into()),
            "{object}"
        );
    }
    let template = &of_kind(&objects, "Deployment")[0]["spec"]["template"];
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    let seen = [
        &meta["labels"]["team"],
        &meta["labels"]["pod"],
        &meta["annotations"]["owner"],
        &meta["annotations"]["note"],
    ];
    assert_eq!(seen, ["a", "c", "b", "d"]);
    assert_eq!(spec["containers"][0]["image"], format!("docker.io/shoal/shoal-operator@{digest}"));
    let env = spec["containers"][0]["env"].as_array().unwrap();
    let of = |name: &str| &env.iter().find(|one| one["name"] == name).unwrap()["value"];
    assert_eq!(
        (of("SHOAL_CONCURRENCY"), of("SHOAL_NODE_IMAGE")),
        (&"3".into(), &format!("docker.io/shoal/agent-node@{digest}").into())
    );
    assert_eq!(spec["priorityClassName"], "high");
    let pods =
        [spec, &of_kind(&objects, "Pod")[0]["spec"], &of_kind(&objects, "AgentPlan")[0]["spec"]["pods"]];
    for pod in pods {
        assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
        assert_eq!(pod["securityContext"], serde_json::json!({"fsGroup": 7}));
    }
}

#[test]
fn the_operator_may_do_what_it_does_and_nothing_else() {
    let objects = rendered(&[]);
    let everywhere = not_of_people(&objects);
    assert_eq!(everywhere.len(), 1);
    assert_eq!(rights(everywhere[0]), wanted(PLANS));
    let own = of_kind(&objects, "Role");
    assert_eq!(own.len(), 1);
    assert_eq!((&own[0]["metadata"]["namespace"], rights(own[0])), (&"shoal-system".into(), wanted(OWN)));
    let named = own[0]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["verbs"] != serde_json::json!(["get", "create"]));
    assert!(
        named.clone().count() == 1 && named.clone().all(|rule| rule["resourceNames"][0] == "shoal-operator")
    );
}

#[test]
fn with_namespaces_named_it_may_do_nothing_elsewhere() {
    let objects = rendered(&["namespaces={here,there}"]);
    assert!(not_of_people(&objects).is_empty() && of_kind(&objects, "ClusterRoleBinding").is_empty());
    let roles = of_kind(&objects, "Role");
    for namespace in ["here", "there"] {
        let found: Vec<_> = roles.iter().filter(|role| role["metadata"]["namespace"] == namespace).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(rights(found[0]), wanted(PLANS));
    }
    assert_eq!(roles.len(), 3);
    let bound = of_kind(&objects, "RoleBinding");
    assert!(bound.iter().all(|binding| binding["subjects"][0]["namespace"] == "shoal-system"));
    assert_eq!(of_kind(&objects, "AgentPlan")[0]["metadata"]["namespace"], "here", "the plan of `helm test`");
}

#[test]
fn the_crd_stays_when_the_release_goes_and_can_be_left_out() {
    let objects = rendered(&[]);
    let crds = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(crds[0]["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(of_kind(&rendered(&["crd.install=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn the_chart_passes_helms_strict_lint_and_refuses_values_it_does_not_know() {
    let chart = chart();
    let lint = |more: &[&str]| helm(&[&["lint", "--strict", chart.to_str().unwrap()], more].concat());
    let done = lint(&[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    for wrong in [
        "replica=2",
        "image.name=x",
        "replicas=-1",
        "image.pullPolicy=Sometimes",
        "namespaces={Here}",
        "log.format=xml",
        "resources.claims=1",
        "image.digest=abc",
        "concurrency=0",
        "podMonitor.interval=often",
        "prometheusRule.create=yes",
        "dashboard.labels.a=1",
        "labels.a=1",
    ] {
        assert!(!lint(&["--set", wrong]).status.success(), "{wrong} is taken");
    }
}

/// Every value stands in the schema, in the README's table, and in a template.
#[test]
fn every_value_is_described_and_used() {
    let read = |path: &str| fs::read_to_string(chart().join(path)).unwrap();
    let values: Value = serde_yaml_ng::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let templates: String = [
        "_names.tpl",
        "deployment.yaml",
        "monitors.yaml",
        "rbac.yaml",
        "serviceaccount.yaml",
        "crd.yaml",
        "tests/plan.yaml",
    ]
    .map(|name| read(&format!("templates/{name}")))
    .concat();
    let readme = read("README.md");
    for (name, value) in values.as_object().unwrap() {
        assert!(templates.contains(&format!(".Values.{name}")), "{name} is not used");
        let known = &schema["properties"][name];
        assert!(known.is_object(), "{name} is not in the schema");
        let inside = value.as_object().filter(|_| {
            !["resources", "nodeSelector", "affinity", "labels", "annotations", "podLabels", "podAnnotations"]
                .contains(&name.as_str())
        });
        match inside {
            Some(members) => members.keys().for_each(|member| {
                assert!(
                    readme.contains(&format!("`{name}.{member}`")),
                    "{name}.{member} is not in the README"
                );
            }),
            None => assert!(readme.contains(&format!("`{name}`")), "{name} is not in the README"),
        }
    }
    let known = schema["properties"].as_object().unwrap().keys().filter(|name| *name != "global");
    assert!(known.eq(values.as_object().unwrap().keys().collect::<BTreeSet<_>>()), "the schema knows more");
}
