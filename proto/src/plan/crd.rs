//! The CustomResourceDefinition of plans.

use super::{AgentPlan, reserved};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
    JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt as _;

/// The plan's name becomes part of other names, which have bounds of their own.
pub(super) const NAME: &str = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$";
/// The ends of the names of a plan's Services: another plan of such a name would make the same Service.
pub(super) const RESERVED_ENDS: [&str; 2] = ["-nodes", "-metrics"];

/// What `kubectl get aplan` shows: name, type, path; those after the first six only with `-o wide`.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
    ("Nodes", "integer", ".status.readyReplicas"),
    ("Slots", "integer", ".status.slots.owned"),
    ("Revision", "integer", ".status.revision"),
    ("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason"),
    ("Age", "date", ".metadata.creationTimestamp"),
    ("Accepted", "string", ".status.conditions[?(@.type==\"Accepted\")].reason"),
    ("Mode", "string", ".status.durability.mode"),
];

/// As it is installed.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = AgentPlan::crd();
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns());
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let schema = schema.expect("kube derives one");
        settle(schema);
        let ends = RESERVED_ENDS.map(|end| format!("!self.metadata.name.endsWith('{end}')"));
        schema.x_kubernetes_validations = Some(vec![
            rule(
                &format!("self.metadata.name.matches('{NAME}')"),
                "the name is a DNS label of at most 40 characters that begins with a letter",
                None,
            ),
            rule(
                &ends.join(" && "),
                "a name that ends in -nodes or -metrics would be that of a Service of another plan",
                None,
            ),
            nodes_rule(),
            adopted_rule(),
        ]);
        let status = schema.properties.as_mut().and_then(|fields| fields.get_mut("status"));
        status.expect("plans have a status").default = Some(not_observed());
        let lane = lane(schema).expect("plans have lanes");
        lane.x_kubernetes_validations = Some(lane_rules());
    }
    crd
}

fn columns() -> Vec<CustomResourceColumnDefinition> {
    let column = |(place, (name, kind, path)): (usize, &(&str, &str, &str))| CustomResourceColumnDefinition {
        name: (*name).into(),
        type_: (*kind).into(),
        json_path: (*path).into(),
        priority: (place >= 6).then_some(1),
        ..CustomResourceColumnDefinition::default()
    };
    COLUMNS.iter().enumerate().map(column).collect()
}

/// The rules of one lane; here because two of them have the reserved names.
fn lane_rules() -> Vec<ValidationRule> {
    let names = reserved::NAMES.map(|name| format!("'{name}'")).join(",");
    vec![
        rule("!has(self.retain) || self.type == 'Map'", "retain is for Map lanes", Some(".retain")),
        rule(
            "!has(self.queue) || self.type in ['Command', 'Supply']",
            "queue is for Command and Supply lanes",
            Some(".queue"),
        ),
        rule(
            "!has(self.access) || self.access != 'ReadWrite' || self.type != 'Supply'",
            "a Supply lane takes nothing from clients",
            Some(".access"),
        ),
        rule(
            &format!("!(self.type in ['Value', 'Map']) || !(self.name in [{names}])"),
            &format!("the name is reserved: {}", reserved::reserved()),
            Some(".name"),
        ),
        rule(&format!("self.name != '{}'", reserved::FAULTS), &reserved::built_in(), Some(".name")),
        rule(
            "self.type == oldSelf.type",
            "the type of a lane cannot change; give the new lane another name",
            Some(".type"),
        ),
    ]
}

/// The number of nodes may change until there is a ring, and back to the ring's. At the root, so that `kubectl scale`
/// meets it too; one that differs already hinders no other change.
fn nodes_rule() -> ValidationRule {
    let same = "self.spec.replicas == oldSelf.spec.replicas";
    let of_ring = "!has(self.status) || !has(self.status.nodes) || self.spec.replicas == self.status.nodes";
    let text = "the number of nodes cannot be changed yet: leave it, or set it back to status.nodes";
    rule(&format!("{same} || {of_ring}"), text, Some(".spec.replicas"))
}

/// Whose volumes a plan has adopted is what its data are called from its ring on, which says it too: a CRD of before may
/// have taken the field away.
fn adopted_rule() -> ValidationRule {
    let of = |plan: &str| {
        let spec = format!("{plan}.spec");
        format!(
            "(has({spec}.recovery) && has({spec}.recovery.adoptVolumesOf) ? {spec}.recovery.adoptVolumesOf : '')"
        )
    };
    let (new, old) = (of("self"), of("oldSelf"));
    let before_ring = "!has(oldSelf.status) || !has(oldSelf.status.revision)";
    rule(
        &format!("{before_ring} || {new} == '' || {old} == '' || {new} == {old}"),
        "adoptVolumesOf cannot be another uid once the plan has a ring: its data have that identity",
        Some(".spec.recovery"),
    )
}

/// What a plan has as its status until the operator has seen it: no status at all would read as one that is settled.
fn not_observed() -> JSON {
    JSON(serde_json::json!({"observedGeneration": -1}))
}

fn rule(rule: &str, message: &str, field_path: Option<&str>) -> ValidationRule {
    ValidationRule {
        rule: rule.into(),
        message: Some(message.into()),
        field_path: field_path.map(str::to_owned),
        ..ValidationRule::default()
    }
}

fn lane(schema: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    let agents = schema.properties.as_mut()?.get_mut("spec")?.properties.as_mut()?.get_mut("agents")?;
    items(items(agents)?.properties.as_mut()?.get_mut("lanes")?)
}

fn items(schema: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    match schema.items.as_mut()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

/// What kube's derive leaves otherwise: here `null` is no value but where anything is, a quantity says what it may be,
/// formats are those that the API server knows, and descriptions are one paragraph.
fn settle(schema: &mut JSONSchemaProps) {
    schema.title = None;
    if schema.x_kubernetes_int_or_string == Some(true) {
        let either = ["integer", "string"]
            .map(|kind| JSONSchemaProps { type_: Some(kind.into()), ..Default::default() });
        schema.any_of = Some(either.to_vec());
    }
    if schema.x_kubernetes_preserve_unknown_fields != Some(true) {
        schema.nullable = None;
    }
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    if let Some(description) = &mut schema.description {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    schema.properties.iter_mut().flat_map(|fields| fields.values_mut()).for_each(settle);
    if let Some(items) = items(schema) {
        settle(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        settle(values);
    }
}
