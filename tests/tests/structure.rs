//! The structure of the sources: heads, no circle of files, and that what decides does not wait.
//!
//! A file uses another when a path in it, through imports and re-exports, ends at an item of the other. Declaring a
//! module and passing on its names is no use of it. A file and those in its folder are one thing of several files: what
//! they use of each other is not looked at, nor is what stands behind `#[cfg(test)]`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use tests::project::{files, read, root};

/// Files and folders that decide: plain state and functions over values. All that is not named here may wait.
const DECIDE: &[&str] = &[
    "agent-node/src/answer.rs",
    "agent-node/src/cli/feed.rs",
    "agent-node/src/cli/line.rs",
    "agent-node/src/cli/pace.rs",
    "agent-node/src/cli/patience.rs",
    "agent-node/src/cli/tally.rs",
    "agent-node/src/connections/messages.rs",
    "agent-node/src/holds.rs",
    "agent-node/src/link/mirror",
    "agent-node/src/link/pace.rs",
    "agent-node/src/link/table.rs",
    "agent-node/src/log/chain.rs",
    "agent-node/src/log/contents.rs",
    "agent-node/src/log/covered.rs",
    "agent-node/src/log/format.rs",
    "agent-node/src/log/judge.rs",
    "agent-node/src/log/room.rs",
    "agent-node/src/log/scan.rs",
    "agent-node/src/map",
    "agent-node/src/node/configuration.rs",
    "agent-node/src/node/contact.rs",
    "agent-node/src/node/forwards",
    "agent-node/src/node/parking.rs",
    "agent-node/src/node/routing.rs",
    "agent-node/src/node/turn.rs",
    "agent-node/src/peer/access.rs",
    "agent-node/src/peer/admission.rs",
    "agent-node/src/peer/attempts.rs",
    "agent-node/src/peer/complaints.rs",
    "agent-node/src/peer/gossip.rs",
    "agent-node/src/peer/hello.rs",
    "agent-node/src/peer/hints.rs",
    "agent-node/src/peer/share.rs",
    "agent-node/src/peer/wire",
    "agent-node/src/reads/budget.rs",
    "agent-node/src/refusal.rs",
    "agent-node/src/run/dev/kept.rs",
    "agent-node/src/shard",
    "agent-node/src/snapshot/decide.rs",
    "agent-node/src/snapshot/format.rs",
    "agent-node/src/snapshot/index.rs",
    "agent-node/src/snapshot/piece.rs",
    "agent-node/src/trial",
    "agent-node/src/trial.rs",
    "agent-node/src/ways/http/event_text.rs",
    "operator/src/account.rs",
    "operator/src/adoption.rs",
    "operator/src/answers.rs",
    "operator/src/authority.rs",
    "operator/src/backoff.rs",
    "operator/src/certificates.rs",
    "operator/src/claims.rs",
    "operator/src/drift",
    "operator/src/drift.rs",
    "operator/src/heard.rs",
    "operator/src/hints.rs",
    "operator/src/lease.rs",
    "operator/src/listing.rs",
    "operator/src/names.rs",
    "operator/src/node.rs",
    "operator/src/observed.rs",
    "operator/src/outlook.rs",
    "operator/src/ownership.rs",
    "operator/src/parts",
    "operator/src/plan.rs",
    "operator/src/queue.rs",
    "operator/src/reason.rs",
    "operator/src/restoring.rs",
    "operator/src/ring.rs",
    "operator/src/settings.rs",
    "operator/src/status.rs",
    "operator/src/steps.rs",
    "operator/src/undeclared.rs",
    "operator/src/words.rs",
    "proto/src",
    "tests/checker/src",
];

/// What a file that decides does not name: words, and paths by the words that follow one another in them.
const WAITS: &[&str] = &[
    "async",
    "await",
    "Condvar",
    "File",
    "Instant::now",
    "SystemTime::now",
    "TcpListener",
    "TcpStream",
    "hyper",
    "kube::Client",
    "rand",
    "rustix",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "tokio",
    "tonic::transport",
];

/// One source file as a module of its crate.
#[derive(Default)]
struct Module {
    /// Modules of their own files below it.
    children: BTreeSet<String>,
    /// Names that it has from elsewhere, by its imports and re-exports.
    names: BTreeMap<String, Vec<String>>,
    /// Modules all of whose names it has.
    globs: Vec<Vec<String>>,
    /// Every path of two words and more in its code, imports included, re-exports left out.
    paths: BTreeSet<Vec<String>>,
    words: BTreeSet<String>,
}

fn word(tree: Option<&TokenTree>) -> Option<String> {
    match tree {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn punct(tree: Option<&TokenTree>) -> Option<char> {
    match tree {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    }
}

fn colons(trees: &[TokenTree], at: usize) -> bool {
    punct(trees.get(at)) == Some(':') && punct(trees.get(at + 1)) == Some(':')
}

fn group(tree: Option<&TokenTree>, delimiter: Delimiter) -> Option<TokenStream> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

impl Module {
    fn read(text: &str) -> Module {
        let mut module = Module::default();
        module.walk(&text.parse::<TokenStream>().expect("Rust").into_iter().collect::<Vec<_>>());
        module
    }

    fn walk(&mut self, trees: &[TokenTree]) {
        let mut at = 0;
        let mut public = false;
        while at < trees.len() {
            let tree = &trees[at];
            if punct(Some(tree)) == Some('#')
                && let Some(attribute) = group(trees.get(at + 1), Delimiter::Bracket)
            {
                at += 2;
                if attribute.to_string().replace(' ', "") == "cfg(test)" {
                    at = after_item(trees, at);
                }
                continue;
            }
            match word(Some(tree)).as_deref() {
                Some("pub") => {
                    public = true;
                    at += 1 + usize::from(group(trees.get(at + 1), Delimiter::Parenthesis).is_some());
                    continue;
                }
                Some("use") => {
                    let end = after_item(trees, at);
                    self.import(&trees[at + 1..end - 1], &mut Vec::new(), public);
                    at = end;
                }
                Some("mod") if punct(trees.get(at + 2)) == Some(';') => {
                    self.children.extend(word(trees.get(at + 1)));
                    at += 3;
                }
                Some(_) => at = self.path(trees, at),
                None => {
                    if let TokenTree::Group(group) = tree {
                        self.walk(&group.stream().into_iter().collect::<Vec<_>>());
                    }
                    at += 1;
                }
            }
            public = false;
        }
    }

    /// A path in the code, and the place behind it.
    fn path(&mut self, trees: &[TokenTree], mut at: usize) -> usize {
        let mut path = Vec::new();
        while let Some(word) = word(trees.get(at)) {
            self.words.insert(word.clone());
            path.push(word);
            at += 1;
            if !colons(trees, at) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            self.paths.insert(path);
        }
        at
    }

    /// One tree of a `use`, behind `before`.
    fn import(&mut self, trees: &[TokenTree], before: &mut Vec<String>, public: bool) {
        let depth = before.len();
        let mut at = 0;
        while at < trees.len() {
            if let Some(inner) = group(trees.get(at), Delimiter::Brace) {
                let inner: Vec<TokenTree> = inner.into_iter().collect();
                for part in inner.split(|tree| punct(Some(tree)) == Some(',')) {
                    self.import(part, before, public);
                }
                break;
            }
            match (word(trees.get(at)), punct(trees.get(at))) {
                (Some(word), _) if word == "as" => {
                    self.imported(self::word(trees.get(at + 1)).unwrap_or_default(), before.clone(), public);
                    break;
                }
                (Some(word), _) => before.push(word),
                (None, Some('*')) => self.globs.push(before.clone()),
                _ => {}
            }
            at += 1;
            if at == trees.len() && word(trees.last()).is_some() {
                let mut path = before.clone();
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                self.imported(path.last().cloned().unwrap_or_default(), path, public);
            }
        }
        before.truncate(depth);
    }

    fn is_of_crate(&self, path: &[String]) -> bool {
        let first = path[0].as_str();
        ["crate", "self", "super"].contains(&first) || self.children.contains(first)
    }

    fn imported(&mut self, name: String, path: Vec<String>, public: bool) {
        if !public {
            self.paths.insert(path.clone());
        }
        self.names.insert(name, path);
    }
}

/// The place behind an item that begins here, attributes included.
fn after_item(trees: &[TokenTree], mut at: usize) -> usize {
    while at < trees.len() {
        let braces = group(trees.get(at), Delimiter::Brace).is_some();
        let in_use = braces && punct(trees.get(at + 1)) == Some(';');
        if punct(trees.get(at)) == Some(';') || braces && !in_use {
            return at + 1;
        }
        at += 1;
    }
    at
}

/// The files of one crate, by their modules' paths; the root's is empty.
struct Crate {
    modules: BTreeMap<Vec<String>, (String, Module)>,
}

impl Crate {
    fn read(file: &str) -> Crate {
        let mut read = Crate { modules: BTreeMap::new() };
        let folder = Path::new(file).parent().expect("a folder").to_owned();
        read.add(Vec::new(), file.to_owned(), &folder);
        read
    }

    fn add(&mut self, name: Vec<String>, file: String, folder: &Path) {
        let module = Module::read(&read(&file));
        for child in &module.children {
            let flat = folder.join(child).with_extension("rs");
            let nested = folder.join(child).join("mod.rs");
            let found = if root().join(&flat).exists() { flat } else { nested };
            let below: Vec<String> = name.iter().cloned().chain([child.clone()]).collect();
            self.add(below, found.to_str().expect("a path").to_owned(), &folder.join(child));
        }
        self.modules.insert(name, (file, module));
    }

    /// The module that has the item of this path, seen from `from`; `None`: it is of another crate, or a module.
    fn home(&self, from: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let module = &self.modules[from].1;
        if depth > 16 {
            return None;
        }
        match first.as_str() {
            "crate" => self.home(&[], rest, depth + 1),
            "self" => self.home(from, rest, depth + 1),
            "super" => self.home(&from[..from.len().checked_sub(1)?], rest, depth + 1),
            name if module.children.contains(name)
                && !(rest.is_empty() && module.names.contains_key(name)) =>
            {
                let below: Vec<String> = from.iter().cloned().chain([name.to_owned()]).collect();
                self.home(&below, rest, depth + 1)
            }
            name => match module.names.get(name) {
                Some(import) if module.is_of_crate(import) => {
                    let whole: Vec<String> = import.iter().chain(rest).cloned().collect();
                    self.home(from, &whole, depth + 1)
                }
                Some(_) => None,
                None => Some(self.through_globs(from, path, depth)),
            },
        }
    }

    fn through_globs(&self, from: &[String], path: &[String], depth: usize) -> Vec<String> {
        let module = &self.modules[from].1;
        for glob in &module.globs {
            let whole: Vec<String> = glob.iter().chain(path).cloned().collect();
            if module.is_of_crate(glob)
                && let Some(home) = self.home(from, &whole, depth + 1)
            {
                return home;
            }
        }
        from.to_vec()
    }

    /// Which file uses which.
    fn uses(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut uses = BTreeMap::new();
        for (name, (file, module)) in &self.modules {
            let homes = module.paths.iter().filter_map(|path| self.home(name, path, 0));
            let other = homes.filter(|home| !home.starts_with(name) && !name.starts_with(home));
            let used: BTreeSet<&str> = other.map(|home| self.modules[&home].0.as_str()).collect();
            uses.insert(file.as_str(), used);
        }
        uses
    }
}

/// The shortest way from a file back to itself.
fn circle(uses: &BTreeMap<&str, BTreeSet<&str>>, start: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut due = VecDeque::from([start]);
    while let Some(file) = due.pop_front() {
        for next in uses.get(file).into_iter().flatten() {
            if *next == start {
                let mut way = vec![file.to_owned()];
                while way.last().map(String::as_str) != Some(start) {
                    way.push(came_from[way.last().expect("a file").as_str()].to_owned());
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                due.push_back(next);
            }
        }
    }
    None
}

/// The root file of every library, program, example, bench and test.
fn crates() -> Vec<Crate> {
    let is_root = |path: &String| {
        let parts: Vec<&str> = path.split('/').collect();
        match parts[1..] {
            ["src", "lib.rs" | "main.rs"]
            | [_, "src", "lib.rs"]
            | ["src", "bin", _]
            | ["build.rs"]
            | ["examples" | "benches" | "tests", _] => true,
            ["tests", _, file] => file == "main.rs",
            _ => false,
        }
    };
    files(".rs").iter().filter(|path| is_root(path)).map(|path| Crate::read(path)).collect()
}

/// What its crate's root declares: a file with its folder.
fn part(file: &str) -> &str {
    let end = file.find("/src/").map_or(0, |at| at + 5);
    let rest = &file[end..];
    &file[..end + rest.find(['/', '.']).unwrap_or(rest.len())]
}

#[test]
fn every_file_says_at_its_head_what_it_is_for() {
    let without: Vec<String> =
        files(".rs").into_iter().filter(|path| !read(path).starts_with("//! ")).collect();
    assert!(
        without.is_empty(),
        "these files begin without `//! ...`, which says what they are for: {without:#?}"
    );
}

#[test]
fn comments_read_alone_and_tests_see_the_sizes_of_the_program() {
    // In pieces, so that this file is none of those that it finds.
    let unread = ["/// O".to_owned() + "f ", "//! O".to_owned() + "f ", "cfg!".to_owned() + "(test)"];
    let mut found = Vec::new();
    for path in files(".rs") {
        let text = read(&path);
        for (number, line) in (1..).zip(text.lines()) {
            let begins = |part: &String| line.trim_start().starts_with(part.as_str());
            if unread[..2].iter().any(begins) || line.contains(&unread[2]) {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "comments begin with a noun or a verb; constants are the same in tests: {found:#?}"
    );
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let mut circles = BTreeMap::new();
    for read in crates() {
        let uses = read.uses();
        for file in uses.keys() {
            if let Some(circle) = circle(&uses, file) {
                let mut members = circle.clone();
                members.sort();
                circles.entry(members).or_insert(circle.join(" -> "));
            }
        }
    }
    let circles: Vec<String> = circles.into_values().collect();
    assert!(circles.is_empty(), "{} circles of files: {circles:#?}", circles.len());
}

#[test]
fn no_part_of_a_crate_uses_one_that_uses_it() {
    let mut circles = BTreeSet::new();
    for read in crates() {
        let mut parts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (file, used) in &read.uses() {
            let used = used.iter().map(|used| part(used)).filter(|used| *used != part(file));
            parts.entry(part(file)).or_default().extend(used);
        }
        circles
            .extend(parts.keys().filter_map(|start| circle(&parts, start)).map(|circle| circle.join(" -> ")));
    }
    assert!(circles.is_empty(), "{} circles of parts: {circles:#?}", circles.len());
}

/// Whether a file is the one that is listed, or lies in its folder.
fn is_of(file: &str, listed: &str) -> bool {
    let folder = listed.strip_suffix(".rs").unwrap_or(listed);
    file.strip_prefix(folder).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn decides(file: &str) -> bool {
    DECIDE.iter().any(|listed| is_of(file, listed))
}

/// Why a file waits, if it does: what it names.
fn waits(module: &Module) -> Option<&'static str> {
    WAITS.iter().copied().find(|named| {
        let named: Vec<&str> = named.split("::").collect();
        let names = |path: &Vec<String>| path.windows(named.len()).any(|part| part == named.as_slice());
        module.paths.iter().any(names) || named.len() == 1 && module.words.contains(named[0])
    })
}

#[test]
fn what_decides_names_nothing_that_waits() {
    let mut wrong = BTreeSet::new();
    let all = files(".rs");
    let gone: Vec<_> = DECIDE.iter().filter(|listed| !all.iter().any(|file| is_of(file, listed))).collect();
    assert!(gone.is_empty(), "these are listed and not there: {gone:?}");
    for read in crates() {
        let uses = read.uses();
        let waits: BTreeMap<&str, &str> = read
            .modules
            .values()
            .filter_map(|(file, module)| Some((file.as_str(), waits(module)?)))
            .collect();
        for file in uses.keys().filter(|file| decides(file)) {
            let (mut used, mut due) = (BTreeSet::from([*file]), vec![*file]);
            while let Some(file) = due.pop() {
                due.extend(uses[file].iter().filter(|next| used.insert(next)));
            }
            let bad =
                used.iter().filter_map(|used| Some(format!("{file}: {used} names {}", waits.get(used)?)));
            wrong.extend(bad);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
