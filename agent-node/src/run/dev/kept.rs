//! What `dev` keeps of a plan beside its nodes' data, and which edit of the plan it takes.

use proto::plan::{AgentPlanSpec, Error};
use serde::{Deserialize, Serialize};

pub const FORMAT: u32 = 1;
/// What to do when a file of `dev` is damaged.
pub const FROM_NODES: &str = "remove this one file, and dev takes what it held from its nodes' folders";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    pub format: u32,
    /// The plan's name.
    pub plan: String,
    pub uid: String,
    pub generation: u64,
    pub nodes: u16,
    /// The spec of this generation.
    pub spec: AgentPlanSpec,
}

impl Kept {
    pub fn begin(plan: &str, uid: String, nodes: u16, spec: AgentPlanSpec) -> Kept {
        Kept { format: FORMAT, plan: plan.to_owned(), uid, generation: 1, nodes, spec }
    }

    pub fn parse(text: &str) -> Result<Kept, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| format!("{error}; {FROM_NODES}");
        let Format { format } = serde_json::from_str(text).map_err(damaged)?;
        if format > FORMAT {
            return Err(format!(
                "it has format {format}, and this version reads up to {FORMAT}; run the version that wrote it"
            ));
        }
        serde_json::from_str(text).map_err(damaged)
    }

    pub fn text(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// The plan as it was edited; `None`: it means the same. `nodes` are those that the command line says, if it does.
    pub fn edited(
        &self,
        name: &str,
        spec: &AgentPlanSpec,
        nodes: Option<u16>,
    ) -> Result<Option<Kept>, Vec<Error>> {
        let mut errors = Vec::new();
        if name != self.plan {
            let text = format!("this is the plan `{}`, and stays it", self.plan);
            errors.push(Error::invalid("metadata.name", text));
        }
        if nodes.is_none() && spec.replicas != i32::from(self.nodes) {
            let text = format!("the number of nodes can't change yet: it is {} here", self.nodes);
            errors.push(Error::not_yet("spec.replicas", text));
        }
        unchangeable(&self.spec, spec, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let next = || Kept { generation: self.generation + 1, spec: spec.clone(), ..self.clone() };
        Ok((*spec != self.spec).then(next))
    }
}

/// What the API server refuses to change on a cluster, as far as it matters on one machine.
fn unchangeable(was: &AgentPlanSpec, is: &AgentPlanSpec, errors: &mut Vec<Error>) {
    if was.slots != is.slots {
        let text = format!("slots cannot change: they are {} here", was.slots);
        errors.push(Error::invalid("spec.slots", text));
    }
    for (n, agent) in is.agents.iter().enumerate() {
        let Some(before) = was.agents.iter().find(|before| before.route == agent.route) else { continue };
        let at = format!("spec.agents[{n}]");
        if before.partition_by != agent.partition_by {
            errors.push(Error::invalid(format!("{at}.partitionBy"), "partitionBy cannot change"));
        }
        for (n, lane) in agent.lanes.iter().enumerate() {
            let before = before.lanes.iter().find(|before| before.name == lane.name);
            if let Some(before) = before.filter(|before| before.kind != lane.kind) {
                let text = format!("type cannot change: it is {} here", before.kind);
                errors.push(Error::invalid(format!("{at}.lanes[{n}].type"), text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::plan::AgentPlan;

    const PLAN: &str = r"
apiVersion: shoal.dev/v1alpha1
kind: AgentPlan
metadata: {name: counters}
spec:
  replicas: 3
  agents:
  - route: /counter/:id/:part
    partitionBy: [id]
    lanes:
    - {name: add, type: Command}
    - {name: total, type: Value, initial: 0}
";

    fn spec(text: &str) -> AgentPlanSpec {
        AgentPlan::from_yaml(text).unwrap().spec
    }

    fn kept() -> Kept {
        Kept::begin("counters", "uid-1".into(), 3, spec(PLAN))
    }

    #[test]
    fn what_is_kept_reads_back() {
        let text = kept().text().unwrap();
        assert_eq!(Kept::parse(&text), Ok(kept()));
        assert!(
            Kept::parse(&text.replace("\"format\": 1", "\"format\": 2")).unwrap_err().contains("format 2")
        );
        assert!(Kept::parse("{}").is_err());
    }

    #[test]
    fn an_edit_is_a_generation_more_and_one_that_means_the_same_is_none() {
        let kept = kept();
        assert_eq!(kept.edited("counters", &spec(PLAN), None), Ok(None));
        let more = spec(&PLAN.replace("initial: 0}", "initial: 0}\n    - {name: extra, type: Map}"));
        let next = kept.edited("counters", &more, None).unwrap().unwrap();
        assert_eq!((next.generation, &next.spec), (2, &more));
        // A lane may go; it is hidden.
        let fewer = next.edited("counters", &spec(PLAN), None).unwrap().unwrap();
        assert_eq!(fewer.generation, 3);
    }

    #[test]
    fn what_cannot_change_is_refused_by_its_path() {
        for (from, to, at, said) in [
            ("replicas: 3", "replicas: 4", "spec.replicas", "can't change yet: it is 3 here"),
            ("replicas: 3", "replicas: 3\n  slots: 512", "spec.slots", "4096 here"),
            ("type: Value, initial: 0", "type: Map", "spec.agents[0].lanes[1].type", "it is Value here"),
            ("[id]", "[part]", "spec.agents[0].partitionBy", "cannot change"),
        ] {
            let errors = kept().edited("counters", &spec(&PLAN.replace(from, to)), None).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].at == at && errors[0].error.contains(said), "{errors:?}");
        }
        let errors = kept().edited("others", &spec(PLAN), None).unwrap_err();
        assert!(errors[0].at == "metadata.name" && errors[0].error.contains("`counters`"), "{errors:?}");
    }

    #[test]
    fn replicas_are_free_when_the_command_line_says_how_many_nodes_there_are() {
        let other = spec(&PLAN.replace("replicas: 3", "replicas: 5"));
        let next = kept().edited("counters", &other, Some(3)).unwrap().unwrap();
        assert_eq!((next.nodes, next.generation), (3, 2));
    }
}
