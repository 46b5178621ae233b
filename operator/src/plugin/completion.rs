//! Completion of words: scripts for shells, and the words that kubectl's own scripts ask for.

use super::{Args, Script};
use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_complete::engine::complete;
use proto::shown::Exit;
use std::ffi::OsString;
use std::io::Write as _;

const PROGRAM: &str = "kubectl-shoal";
/// What kubectl runs: an executable of this name on the PATH, `kubectl_complete-shoal`.
const FOR_KUBECTL: &str = "#!/bin/sh\nexec kubectl-shoal __complete \"$@\"\n";
/// The last line says what the shell does with the words: it adds no names of files.
const NO_FILES: &str = ":4";

pub fn script(of: Script) -> Exit {
    let mut out = std::io::stdout();
    let shell = match of {
        Script::Bash => Shell::Bash,
        Script::Zsh => Shell::Zsh,
        Script::Fish => Shell::Fish,
        Script::Kubectl => {
            // Nobody has to read it.
            let _ = out.write_all(FOR_KUBECTL.as_bytes());
            return Exit::Done;
        }
    };
    clap_complete::generate(shell, &mut Args::command().bin_name(PROGRAM), PROGRAM, &mut out);
    Exit::Done
}

/// What can stand in the place of the last word, a line for each, with its help behind a tab.
pub fn words(words: &[OsString]) -> Exit {
    let all: Vec<OsString> = [PROGRAM.into()].into_iter().chain(words.iter().cloned()).collect();
    let last = all.len() - 1;
    let here = std::env::current_dir().ok();
    let found = complete(&mut Args::command(), all, last.max(1), here.as_deref()).unwrap_or_default();
    let mut lines = String::new();
    for word in found {
        let help = word.get_help().map(|help| format!("\t{help}")).unwrap_or_default();
        lines.extend([&word.get_value().to_string_lossy(), help.as_str(), "\n"]);
    }
    let _ = writeln!(std::io::stdout(), "{lines}{NO_FILES}");
    Exit::Done
}
