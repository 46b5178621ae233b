//! What the command line is taken to mean, and what it refuses.

use super::record_text::Wanted;
use super::*;

fn config(arguments: &[&str]) -> Result<Config, String> {
    let args =
        Args::try_parse_from(["agent-node"].iter().chain(arguments)).map_err(|error| error.to_string())?;
    Config::try_from(args).map_err(|(_, error)| error)
}

fn lane(at: &[&str], output: Output) -> LaneAddress {
    let at = at.iter().map(|at| (*at).to_owned()).collect();
    LaneAddress { at, output, agent: "/airport/JFK".into(), lane: "late".into() }
}

fn feed(source: Source) -> send_file::Config {
    let at = vec!["127.0.0.1:7777".into()];
    send_file::Config { at, output: Output::Text, source, client: None, from_line: 1, rate: None }
}

const HERE: &[&str] = &["127.0.0.1:7777"];

#[test]
fn what_is_asked_is_what_the_arguments_say() {
    for (arguments, expected) in [
        (vec!["get", "/airport/JFK", "late"], Config::Get(lane(HERE, Output::Text))),
        (
            vec!["get", "http://a:1/airport/JFK", "-o", "json"],
            Config::GetAll { at: vec!["a:1".into()], output: Output::Json, agent: "/airport/JFK".into() },
        ),
        (vec!["completion", "zsh"], Config::Completion(Shell::Zsh)),
        (
            vec!["get", "/airport/%4AFK", "late", "--at", "a:1,b:2", "--output", "json"],
            Config::Get(lane(&["a:1", "b:2"], Output::Json)),
        ),
        (
            vec!["get", "http://[::1]:7778/airport/JFK", "late", "--at", "a:1"],
            Config::Get(lane(&["[::1]:7778"], Output::Text)),
        ),
        (
            vec!["send", "/airport/JFK", "late", r#" {"n": 1}"#],
            Config::Send(lane(HERE, Output::Text), Body::Json(br#"{"n": 1}"#.to_vec())),
        ),
        (
            vec!["send", "/airport/JFK", "late", "-1.5"],
            Config::Send(lane(HERE, Output::Text), Body::Json(b"-1.5".to_vec())),
        ),
        (vec!["send", "/airport/JFK", "late", "-"], Config::Send(lane(HERE, Output::Text), Body::Stdin)),
        (vec!["send", "--file", "f.gz"], Config::Feed(feed(Source::File("f.gz".into())))),
        (
            vec!["send", "--file", "-", "--client", "me", "--from-line", "7", "--rate", "100"],
            Config::Feed(send_file::Config {
                client: Some("me".into()),
                from_line: 7,
                rate: Some(100),
                ..feed(Source::Stdin)
            }),
        ),
        (
            vec!["watch", "/airport/JFK", "late", "--from", "9", "--count", "3", "--rate", "2"],
            Config::Watch(watch::Config {
                lane: lane(HERE, Output::Text),
                from: Some(9),
                count: Some(3),
                rate: Some(2),
            }),
        ),
        (
            vec!["check", "a.yaml", "-", "-o", "json"],
            Config::Check { plans: vec!["a.yaml".into(), "-".into()], output: Output::Json },
        ),
        (
            vec!["try", "a.yaml", "b.yaml", "c.json"],
            Config::Try {
                plan: "a.yaml".into(),
                cases: vec!["b.yaml".into(), "c.json".into()],
                output: Output::Text,
            },
        ),
        (
            vec!["log", "data/node-0", "--slot", "7", "--agent", "/airport/%4AFK", "-o", "json"],
            Config::Log(look::Config {
                folder: "data/node-0".into(),
                wanted: Wanted { slot: Some(7), agent: Some("/airport/JFK".into()) },
                output: Output::Json,
            }),
        ),
        (
            vec!["status", "--output", "json"],
            Config::Status { at: vec!["127.0.0.1:7777".into()], output: Output::Json },
        ),
    ] {
        assert_eq!(config(&arguments), Ok(expected), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_asked_is_said() {
    for (arguments, said) in [
        (vec!["get", "airport/JFK", "late"], "an address begins with `/`"),
        (vec!["get", "/airport/JFK?lane=late", "late"], "`?`"),
        (vec!["watch", "/airport/JFK"], "<LANE>"),
        (vec!["completion", "sh"], "bash"),
        (vec!["get", "/a", "late", "--at", "localhost"], "HOST:PORT is expected"),
        (vec!["get", "/a", "late", "--at", "a:1,:2"], "HOST:PORT is expected"),
        (vec!["get", "/a", "late", "--at", "http://a:1"], "HOST:PORT is expected"),
        (vec!["get", "/a", "late", "--output", "yaml"], "`text` or `json`"),
        (vec!["send", "/a", "late", "JFK"], r#"'"JFK"'"#),
        (vec!["send", "/a", "late", r#"{"n": }"#], "at byte"),
        (vec!["send", "/a", "late"], "<JSON>"),
        (vec!["send"], "ADDRESS"),
        (vec!["send", "/a", "late", "1", "--file", "f"], "cannot be used with"),
        (vec!["send", "/a", "late", "1", "--rate", "5"], "--file"),
        (vec!["send", "--file", "f", "--rate", "0"], "non-zero"),
        (vec!["send", "--file", "f", "--from-line", "0"], "0 is not in"),
        (vec!["send", "--file", "f", "--client", "a b"], "visible ASCII"),
        (vec!["watch", "/a", "late", "--count", "-1"], "unexpected argument"),
        (vec!["watch", "/a", "late", "--rate", "1001"], "1001 is not in 1..=1000"),
        (vec!["check"], "<PLAN|FOLDER>"),
        (vec!["try", "a.yaml"], "<CASES>"),
        (vec!["log", "data", "--agent", "airport"], "an address begins with `/`"),
        (vec!["dev"], "PLAN.yaml"),
        (vec!["dev", "p.yaml", "--nodes", "0"], "0 is not in"),
        (vec!["dev", "p.yaml", "--port", "70000"], "70000 is not in"),
        (vec!["serve"], "--data"),
        (
            vec!["serve", "--data", "d", "--plan-uid", "u", "--certificates", "c", "--pod-name", "flights"],
            "NAME-N is expected",
        ),
        (vec!["fly"], "unrecognized subcommand"),
    ] {
        let error = config(&arguments).unwrap_err();
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn every_command_describes_itself() {
    Args::command().debug_assert();
    for verb in
        ["serve", "dev", "send", "get", "watch", "status", "check", "try", "log", "snapshot", "completion"]
    {
        let help = Args::try_parse_from(["agent-node", verb, "--help"]).unwrap_err();
        assert_eq!(help.exit_code(), 0, "{verb}");
    }
}
