//! Names that a lane cannot have, and what is said of one.

use super::LaneKind;

/// The built-in Map lane of every agent, with what was refused of what other agents sent.
pub const FAULTS: &str = "faults";

/// What expressions mean something else by, or will: no lane that they see has such a name. A library has none of its
/// own, as its functions are known by both of their names.
pub const NAMES: [&str; 43] = [
    // variables
    "agent",
    "event",
    "here",
    "item",
    "key",
    "now",
    "old",
    "sender",
    // CEL's types
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "optional_type",
    "string",
    "timestamp",
    "type",
    "uint",
    // CEL's words
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// What is wrong with the name of a lane of this kind.
pub fn fault(name: &str, kind: LaneKind) -> Option<String> {
    if name == FAULTS {
        return Some(built_in());
    }
    let seen = matches!(kind, LaneKind::Value | LaneKind::Map);
    (seen && NAMES.contains(&name)).then(|| format!("`{name}` is reserved: {}", reserved()))
}

pub fn built_in() -> String {
    format!("every agent has a lane `{FAULTS}` of its own: choose another name")
}

pub fn reserved() -> String {
    format!(
        "expressions mean something else by it, or will; no Value or Map lane is called {}",
        NAMES.join(", ")
    )
}
