//! The reference of a plan's fields, from the descriptions and bounds in the CRD.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use std::fmt::Write as _;

pub fn text(crd: &CustomResourceDefinition) -> String {
    let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    let mut out = format!(
        "# Fields of `{}`, `{}/{}`\n\nGenerated from the descriptions in the CRD. `proto/docs/plan.md` says what they \
         mean together.\n",
        crd.spec.names.kind, crd.spec.group, crd.spec.versions[0].name
    );
    for root in ["spec", "status"] {
        table(root, &schema.properties.as_ref().unwrap()[root], &mut out);
    }
    out
}

/// One table per object; those within it follow.
fn table(at: &str, schema: &JSONSchemaProps, out: &mut String) {
    let Some(fields) = &schema.properties else { return };
    write!(out, "\n## `{at}`\n\n").unwrap();
    if let Some(description) = &schema.description {
        write!(out, "{}\n\n", cell(description)).unwrap();
    }
    out.push_str("| field | type | default | |\n|---|---|---|---|\n");
    for (name, field) in fields {
        let required = schema.required.iter().flatten().any(|required| required == name);
        let default = field.default.as_ref().map_or(String::new(), |default| format!("`{}`", default.0));
        let default = if required { "required".into() } else { default };
        let notes = [field.description.clone().unwrap_or_default(), bounds(field), rules(field)];
        let notes: Vec<_> = notes.into_iter().filter(|note| !note.is_empty()).collect();
        writeln!(out, "| `{name}` | {} | {default} | {} |", kind(field), cell(&notes.join(" "))).unwrap();
    }
    let own: Vec<_> =
        schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.as_ref()).collect();
    if !own.is_empty() {
        out.push('\n');
    }
    for message in own {
        writeln!(out, "- {message}").unwrap();
    }
    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match items(field) {
            Some(items) => table(&format!("{at}[]"), items, out),
            None => table(&at, field, out),
        }
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items),
        _ => None,
    }
}

fn kind(schema: &JSONSchemaProps) -> String {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return "quantity".into();
    }
    if let Some(options) = &schema.enum_ {
        let options: Vec<_> = options.iter().map(|option| option.0.to_string().replace('"', "")).collect();
        return format!("`{}`", options.join("` `"));
    }
    match (schema.type_.as_deref(), &schema.additional_properties) {
        (Some("array"), _) => format!("list of {}", items(schema).map_or("values".into(), kind)),
        (Some("object"), Some(JSONSchemaPropsOrBool::Schema(values))) => format!("map of {}", kind(values)),
        (Some("object"), _) => "object".into(),
        (Some("string"), _) => "text".into(),
        (Some("boolean"), _) => "bool".into(),
        (Some("integer"), _) => schema.format.clone().unwrap_or("integer".into()),
        (Some(other), _) => other.into(),
        (None, _) => "any".into(),
    }
}

fn bounds(schema: &JSONSchemaProps) -> String {
    let range = |least: Option<i64>, most: Option<i64>, noun: &str| match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}{noun}."),
        (Some(least), None) => format!("At least {least}{noun}."),
        (None, Some(most)) => format!("At most {most}{noun}."),
        (None, None) => String::new(),
    };
    let number = |bound: Option<f64>| bound.map(|bound| bound as i64);
    let all = [
        range(number(schema.minimum), number(schema.maximum), ""),
        range(schema.min_length, schema.max_length, " characters"),
        range(schema.min_items, schema.max_items, " items"),
        schema.pattern.as_ref().map_or(String::new(), |pattern| format!("`{pattern}`")),
    ];
    all.into_iter().filter(|bound| !bound.is_empty()).collect::<Vec<_>>().join(" ")
}

fn rules(schema: &JSONSchemaProps) -> String {
    let leaf = schema.properties.is_none() && items(schema).is_none();
    let messages =
        schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.as_deref());
    messages.filter(|_| leaf).map(|message| format!("({message})")).collect::<Vec<_>>().join(" ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}
