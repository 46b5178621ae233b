//! Which differences there are between what is applied and what is there, pair by pair.

use super::*;

fn told(desired: &Value, seen: &Value) -> Vec<String> {
    let kind = |kind| match kind {
        Kind::Added => '+',
        Kind::Adjusted => '~',
        Kind::Changed => '!',
    };
    let found = differences(desired, seen);
    found.iter().map(|difference| format!("{} {difference}", kind(difference.kind))).collect()
}

fn check(desired: &Value, seen: &Value, expected: &[&str]) {
    assert_eq!(told(desired, seen), expected, "{desired} and {seen}");
}

/// A StatefulSet of pods with this container.
fn pods(container: &Value) -> Value {
    json!({"spec": {
        "updateStrategy": {"type": "OnDelete"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
    }})
}

fn container() -> Value {
    json!({
        "name": "node", "image": "docker.io/shoal/node:1", "args": ["serve"],
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        "env": [{"name": "POD_NAME"}],
    })
}

#[test]
fn what_others_add_is_no_change_and_what_they_change_is() {
    check(&json!({"a": 1}), &json!({"a": 1, "b": 2}), &[]);
    check(&json!({"a": 1}), &json!({"a": 2}), &["! a is 2, and was applied as 1"]);
    check(&json!({"a": 1}), &json!({}), &["! a is missing"]);
    check(&json!({"ports": [{"name": "x"}]}), &json!({"ports": [{"name": "x", "nodePort": 7}]}), &[]);
    check(&json!({"ports": [{"name": "x"}]}), &json!({"ports": [{"name": "theirs"}, {"name": "x"}]}), &[]);
    check(&json!({"ports": [{"name": "x"}]}), &json!({"ports": []}), &["! ports[x] is missing"]);
    check(&json!({"drop": ["ALL"]}), &json!({"drop": ["NET_RAW", "ALL"]}), &[]);
    check(&json!({"drop": ["ALL"]}), &json!({"drop": []}), &["! drop is [], and was applied as [\"ALL\"]"]);
    for (name, desired, seen) in [
        ("args", json!(["a", "b"]), json!(["b", "a"])),
        ("args", json!(["a", "b"]), json!(["a"])),
        ("args", json!(["a"]), json!(["a", "b"])),
        ("ingress", json!([{"from": 1}]), json!([{"from": 1}, {}])),
        ("selector", json!({"a": "b"}), json!({"a": "b", "c": "d"})),
        ("podSelector", json!({"matchLabels": {"a": "b"}}), json!({"matchLabels": {"a": "b", "c": "d"}})),
    ] {
        let expected = format!("! {name} is {seen}, and was applied as {desired}");
        check(&json!({name: desired}), &json!({name: seen}), &[&expected]);
    }
}

fn put(object: &mut Value, path: &str, value: &Value) {
    let mut at = object;
    for step in path.split('/') {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    *at = value.clone();
}

#[test]
fn others_may_set_what_pods_are_run_with_and_nothing_else() {
    let node = "spec.template.spec.containers[node]";
    let cases: [(&str, Value, &[&str]); 13] = [
        (
            "spec/containers/0/image",
            json!("mirror/node:1"),
            &["~ @.image is mirror/node:1, and was applied as docker.io/shoal/node:1"],
        ),
        (
            "spec/containers/0/resources/requests/cpu",
            json!("2"),
            &["~ @.resources.requests.cpu is 2, and was applied as 1000m"],
        ),
        ("spec/containers/0/resources/limits", json!({"cpu": "2"}), &["+ @.resources.limits is added"]),
        (
            "spec/containers/0/env",
            json!([{"name": "THEIRS"}, {"name": "POD_NAME"}]),
            &["+ @.env[THEIRS] is added"],
        ),
        ("spec/containers/0/env", json!([]), &["! @.env[POD_NAME] is missing"]),
        (
            "spec/containers",
            json!([{"name": "proxy"}, container()]),
            &["+ spec.template.spec.containers[proxy] is added"],
        ),
        ("spec/nodeSelector", json!({"disk": "ssd"}), &["+ spec.template.spec.nodeSelector is added"]),
        ("metadata/annotations", json!({"a/b": "c"}), &["+ spec.template.metadata.annotations is added"]),
        (
            "metadata/labels",
            json!({"a": "c", "x/y": "z"}),
            &[
                "~ spec.template.metadata.labels.a is c, and was applied as b",
                "+ spec.template.metadata.labels[x/y] is added",
            ],
        ),
        // As the API server fills it in.
        ("spec/dnsPolicy", json!("ClusterFirst"), &[]),
        (
            "spec/containers/0/args",
            json!(["serve", "--x"]),
            &["! @.args is [\"serve\",\"--x\"], and was applied as [\"serve\"]"],
        ),
        ("spec/containers/0/command", json!(["sh"]), &["! @.command is added"]),
        ("spec/containers", json!([]), &["! @ is missing"]),
    ];
    for (path, value, expected) in cases {
        let mut seen = pods(&container());
        put(&mut seen, &format!("spec/template/{path}"), &value);
        let expected: Vec<_> = expected.iter().map(|text| text.replace('@', node)).collect();
        assert_eq!(told(&pods(&container()), &seen), expected, "{path}");
    }
    let mut seen = pods(&container());
    put(&mut seen, "spec/updateStrategy/type", &json!("RollingUpdate"));
    let expected = "! spec.updateStrategy.type is RollingUpdate, and was applied as OnDelete";
    assert_eq!(told(&pods(&container()), &seen), [expected]);
}

#[test]
fn quantities_are_compared_by_what_they_amount_to() {
    for (desired, seen, same) in [
        ("1024Mi", "1Gi", true),
        ("0.5", "500m", true),
        ("1500m", "1.5", true),
        ("1", "1000m", true),
        ("1Gi", "1G", false),
        ("10Gi", "20Gi", false),
        ("1e3", "1k", true),
        ("1.1Gi", "1181116006400m", true),
        ("1.1Gi", "1181116006", false),
    ] {
        let requests = |amount: &str| json!({"requests": {"cpu": amount}});
        assert_eq!(is_as("", &requests(desired), &requests(seen)), same, "{desired} and {seen}");
        assert_eq!(hash(&requests(desired)) == hash(&requests(seen)), same, "{desired} and {seen}");
        let named = |amount: &str| json!({"name": amount});
        assert_eq!(is_as("", &named(desired), &named(seen)), desired == seen);
    }
    assert!(!is_as("", &json!({"limits": {"cpu": "1"}}), &json!({})));
}

#[test]
fn a_field_that_is_wished_no_more_shows_in_the_hash() {
    let object = |body: Value| {
        let mut object = json!({"metadata": {"name": "x"}, "spec": body});
        object["metadata"]["annotations"] = json!({names::APPLIED: hash(&object)});
        object
    };
    let before = object(json!({"nodeSelector": {"disk": "ssd"}}));
    assert_eq!(differences(&before, &before), []);
    let paths: Vec<_> = differences(&object(json!({})), &before).into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["metadata.annotations[shoal.dev/applied]"]);
}

#[test]
fn a_long_value_is_cut_in_the_text() {
    let text = told(&json!({"a": 1}), &json!({"a": "é".repeat(500)})).concat();
    assert!(text.len() < 150, "{text}");
}
