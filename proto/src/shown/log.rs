//! Which log records are wanted, as `--log` and its variables say it.

/// Our own modules, by crate.
const OURS: [&str; 4] = ["agent_node", "operator", "proto", "shoal_operator"];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The directives of a filter. A level alone, as in `debug`, is for Shoal's own modules; those of libraries log at
/// `others` unless the filter names them, as in `debug,h2=debug`.
pub fn log_filter(filter: &str, others: &str) -> String {
    let mut all = vec![others.to_owned()];
    for directive in filter.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let level = directive.to_lowercase();
        if LEVELS.contains(&level.as_str()) {
            all.extend(OURS.map(|ours| format!("{ours}={level}")));
        } else {
            all.push(directive.to_owned());
        }
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_for_our_own_modules() {
        let ours = |level: &str| OURS.map(|ours| format!("{ours}={level}")).join(",");
        for (filter, expected) in [
            ("debug", format!("error,{}", ours("debug"))),
            ("INFO, h2=debug", format!("error,{},h2=debug", ours("info"))),
            ("agent_node::log=trace", "error,agent_node::log=trace".into()),
            ("off,agent_node=info", format!("error,{},agent_node=info", ours("off"))),
            ("info,[node{n=1}]=debug", format!("error,{},[node{{n=1}}]=debug", ours("info"))),
            ("", "error".into()),
        ] {
            assert_eq!(log_filter(filter, "error"), expected, "{filter}");
        }
    }
}
