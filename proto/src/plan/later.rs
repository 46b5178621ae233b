//! Names that are kept free for what is not there yet: they are refused in other words than a slip of the pen.

/// Where a name would stand, and the names there.
const NAMES: &[(&str, &str)] = &[
    ("spec", "access tls limits connectors modules queries update recovery"),
    ("spec.durability", "copies minInSync"),
    ("spec.durability.mode", "Relaxed Replicated"),
    ("spec.agents[]", "passivateAfter logic"),
    ("spec.agents[].lanes[]", "persistence compute join window model"),
    ("spec.agents[].lanes[].type", "Demand DemandMap JoinValue JoinMap Window Model"),
    ("spec.agents[].lanes[].schema", "fields key"),
    ("spec.agents[].rules[]", "update remove start linked unlinked"),
    ("spec.agents[].rules[].do[]", "join leave call"),
];

pub fn is_later(at: &str, name: &str) -> bool {
    let place: String = at.chars().filter(|char| !char.is_ascii_digit()).collect();
    NAMES.iter().any(|(names_at, names)| *names_at == place && names.split(' ').any(|later| later == name))
}
