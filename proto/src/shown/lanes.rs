//! The lanes of an agent, as `get ADDRESS` lists them.

use super::Output;
use bytes::Bytes;

/// People see the beginning of a state that is longer.
const CHARS_MAX: usize = 200;

/// A lane, with its version and state if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// As the plan names it.
    pub kind: String,
    pub state: Option<(u64, Bytes)>,
}

/// Whether a lane of this type has a state to get.
pub fn has_state(kind: &str) -> bool {
    matches!(kind, "Value" | "Map")
}

/// A line for each.
pub fn lanes(output: Output, lanes: &[Lane]) -> Vec<String> {
    let width = lanes.iter().map(|lane| lane.name.chars().count()).max().unwrap_or(0);
    lanes
        .iter()
        .map(|lane| match output {
            Output::Text => text(lane, width),
            Output::Json => json(lane),
        })
        .collect()
}

fn text(Lane { name, kind, state }: &Lane, width: usize) -> String {
    let Some((_, body)) = state else { return format!("{name:<width$}  {kind}") };
    let body = String::from_utf8_lossy(body);
    let (shown, more) = match body.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => (&body[..end], "..."),
        None => (&*body, ""),
    };
    format!("{name:<width$}  {kind:<7}  {shown}{more}")
}

fn json(Lane { name, kind, state }: &Lane) -> String {
    let (name, kind) = (serde_json::json!(name), serde_json::json!(kind));
    let state = state.as_ref().map(|(version, body)| {
        let body = String::from_utf8_lossy(body);
        format!(r#","version":{version},"value":{body}"#)
    });
    format!(r#"{{"lane":{name},"type":{kind}{}}}"#, state.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn each_lane_is_a_line() {
        let lane = |name: &str, kind: &str, state: Option<&str>| Lane {
            name: name.into(),
            kind: kind.into(),
            state: state.map(|state| (7, state.to_owned().into())),
        };
        let long = format!("\"{}\"", "é".repeat(300));
        let all = [
            lane("departed", "Command", None),
            lane("late", "Value", Some("1")),
            lane("recent", "Map", Some("{\"a\":[1]}")),
            lane("text", "Value", Some(&long)),
        ];
        let said = lanes(Output::Text, &all);
        assert!(said[3].ends_with("é...") && said[3].chars().count() < 230, "{}", said[3]);
        expect![[r#"
            departed  Command
            late      Value    1
            recent    Map      {"a":[1]}"#]]
        .assert_eq(&said[..3].join("\n"));
        expect![[r#"
            {"lane":"departed","type":"Command"}
            {"lane":"late","type":"Value","version":7,"value":1}
            {"lane":"recent","type":"Map","version":7,"value":{"a":[1]}}"#]]
        .assert_eq(&lanes(Output::Json, &all[..3]).join("\n"));
    }
}
