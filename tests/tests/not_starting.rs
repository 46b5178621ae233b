//! What a data folder can look like when a node does not start: each error is provoked on the folder of a real process,
//! and its way out, as `agent-node/docs/not-starting.md` has it, leads back to a node that serves what was acknowledged.

use agent_node::store::{Store, StoreOptions};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use tests::cluster::client;
use tests::dev::{Dev, program, root};
use tests::lanes::{get, send};
use tests::plans;

/// The data folder of a plan that ran on one node, was told to count to 7, and was killed.
struct Scene(tempfile::TempDir);

impl Scene {
    fn plan(&self) -> PathBuf {
        self.0.path().join("plan.yaml")
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn node(&self) -> PathBuf {
        self.data().join("node-0")
    }

    async fn new() -> Scene {
        let scene = Scene(tempfile::tempdir().unwrap());
        fs::write(scene.plan(), plans::COUNTER).unwrap();
        let dev = Dev::start(&scene.plan(), 1, &scene.data()).unwrap();
        let mut client = client(&dev.at(0)).await.unwrap();
        send(&mut client, "/counter/1", "add", &json!({"n": 7})).await.unwrap();
        // The log says of the first command that it is on the disk at the latest when the second one is written.
        send(&mut client, "/counter/2", "add", &json!({"n": 1})).await.unwrap();
        dev.kill();
        scene
    }

    fn refusal(&self) -> String {
        let (code, said) = Dev::refused(&self.plan(), 1, &self.data()).unwrap();
        assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
        said.lines().last().expect("it says why").to_owned()
    }

    /// What `check` says of the plan's folder and its nodes', the plan's last. It changes nothing.
    fn checked(&self) -> Vec<Value> {
        let before = content(&self.data());
        let run = |output: &str| {
            let check = Command::new(program("agent-node"))
                .arg("check")
                .arg(self.data())
                .args(["-o", output])
                .output();
            check.expect("agent-node is built")
        };
        let (text, objects) = (run("text"), run("json"));
        assert!(content(&self.data()) == before, "check has changed something");
        let lines: Vec<Value> = objects
            .stdout
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect();
        let starts = lines.iter().all(|line| line["starts"] == true);
        for ended in [&text, &objects] {
            assert_eq!(ended.status.code(), Some(i32::from(!starts)), "{ended:?}");
            assert!(ended.stderr.is_empty(), "{ended:?}");
        }
        let text = String::from_utf8(text.stdout).unwrap();
        assert_eq!(text.contains("would not start"), !starts, "{text}");
        for refusal in refusals(&lines) {
            assert!(text.contains(refusal["error"].as_str().unwrap()), "{refusal}: {text}");
            assert!(text.contains(refusal["wayOut"].as_str().expect("a way out")), "{refusal}: {text}");
        }
        lines
    }

    /// What `check` gives as the reason is what a start then says last.
    fn agrees(lines: &[Value], said: &str) {
        let errors: Vec<String> =
            refusals(lines).iter().map(|refusal| refusal["error"].as_str().unwrap().to_owned()).collect();
        let agrees =
            errors.iter().any(|error| said == error || said == format!("node 0 does not start: {error}"));
        assert!(agrees, "a start says {said}, and check {errors:#?}");
    }

    /// What the agent has after a start.
    async fn total(&self) -> serde_json::Value {
        let dev = Dev::start(&self.plan(), 1, &self.data()).unwrap();
        let mut client = client(&dev.at(0)).await.unwrap();
        get(&mut client, "/counter/1", "total").await.unwrap()
    }
}

/// The first of each folder: no start comes upon another.
fn refusals(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter_map(|line| line["refusals"].as_array()?.first()).collect()
}

/// All files below a folder, with what they hold and when they were changed.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let changed = path.metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            all.extend(content(&path));
            all.push((path, Vec::new(), changed));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap(), changed));
        }
    }
    all.sort();
    all
}

/// What happens to a file, and the way out.
struct Case {
    /// Below the plan's data folder.
    file: &'static str,
    happens: Happens,
    text: &'static str,
    out: Out,
}

#[derive(Clone, Copy, Debug)]
enum Happens {
    Gone,
    Empty,
    /// A bit in the middle of what is not zero is another.
    Flipped,
    /// Another version has written it.
    OtherFormat,
    Holds(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Out {
    PutBack,
    Remove,
    WriteTheNumber,
}

fn cases() -> Vec<Case> {
    use Happens::{Empty, Flipped, Gone, Holds, OtherFormat};
    let mut cases = Vec::new();
    let mut add = |file, text, out, all: &[Happens]| {
        cases.extend(all.iter().map(|happens| Case { file, happens: *happens, text, out }));
    };
    add("node-0/store", "store is damaged", Out::PutBack, &[Gone, Empty, Flipped]);
    add("node-0/store", "this version reads only format", Out::PutBack, &[OtherFormat]);
    add("node-0/incarnation", "incarnation is damaged", Out::WriteTheNumber, &[Gone, Empty, Holds("x")]);
    add("node-0/configuration", "configuration is damaged", Out::Remove, &[Empty, Flipped]);
    add("node-0/log", "log does not exist", Out::PutBack, &[Gone]);
    add(
        "node-0/log/segment-00000001",
        "contains no segment, or only empty ones",
        Out::PutBack,
        &[Gone, Empty],
    );
    let flipped = "is damaged and has lost records";
    add("node-0/log/segment-00000001", flipped, Out::PutBack, &[Flipped]);
    add("node-0/log/segment-00000001", "this version reads only format", Out::PutBack, &[OtherFormat]);
    add("node-0", "is not the store that the ring knows", Out::PutBack, &[Gone]);
    add("plan.json", "plan.json can't be used", Out::Remove, &[Empty, Holds("{")]);
    add("ring", "ring can't be used", Out::Remove, &[Empty, Flipped]);
    cases
}

fn befall(path: &Path, happens: Happens) {
    let content = fs::read(path).unwrap_or_default();
    match happens {
        Happens::Gone if path.is_dir() => fs::rename(path, path.with_extension("away")).unwrap(),
        Happens::Gone => fs::remove_file(path).unwrap(),
        Happens::Empty => fs::write(path, "").unwrap(),
        Happens::Holds(text) => fs::write(path, text).unwrap(),
        Happens::Flipped => {
            let mut content = content;
            let record = content.windows(10).position(|window| window == b"/counter/1");
            let at = record.unwrap_or_else(|| content.iter().rposition(|byte| *byte != 0).unwrap() / 2);
            content[at] ^= 1;
            fs::write(path, content).unwrap();
        }
        Happens::OtherFormat if path.ends_with("store") => {
            let text = String::from_utf8(content).unwrap();
            fs::write(path, text.replace("format 3", "format 9")).unwrap();
        }
        Happens::OtherFormat => {
            let mut content = content;
            content[8] = 9;
            let sum = crc32c::crc32c(&content[8..128]);
            content[4..8].copy_from_slice(&sum.to_le_bytes());
            fs::write(path, content).unwrap();
        }
    }
}

/// The number that an error asks for.
fn number(said: &str) -> &str {
    let after = said.split("the number ").nth(1).unwrap_or_else(|| panic!("no number: {said}"));
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap()
}

#[tokio::test]
async fn each_error_names_its_file_and_its_way_out_leads_back() {
    for Case { file, happens, text, out } in cases() {
        let scene = Scene::new().await;
        let path = scene.data().join(file);
        let before = fs::read(&path).unwrap_or_default();
        assert!(scene.checked().iter().all(|line| line["starts"] == true), "{file} {happens:?}");
        befall(&path, happens);
        let checked = scene.checked();
        let said = scene.refusal();
        Scene::agrees(&checked, &said);
        assert!(
            said.contains(text) && said.contains(&scene.data().display().to_string()),
            "{file} {happens:?}: {said}"
        );
        assert_eq!(scene.refusal(), said, "{file} {happens:?}: a refusal changes nothing");
        match out {
            Out::PutBack if path.with_extension("away").is_dir() => {
                // A node that is started without its folder makes a new one.
                let _ = fs::remove_dir_all(&path);
                fs::rename(path.with_extension("away"), &path).unwrap();
            }
            Out::PutBack => fs::write(&path, &before).unwrap(),
            Out::Remove => fs::remove_file(&path).unwrap(),
            Out::WriteTheNumber => fs::write(&path, number(&said)).unwrap(),
        }
        assert!(scene.checked().iter().all(|line| line["starts"] == true), "{file} {happens:?}");
        assert_eq!(scene.total().await, json!(7), "{file} {happens:?}");
    }
}

#[tokio::test]
async fn plan_and_ring_come_back_from_the_nodes_while_one_has_them() {
    let scene = Scene::new().await;
    fs::remove_file(scene.data().join("plan.json")).unwrap();
    fs::remove_file(scene.data().join("ring")).unwrap();
    assert_eq!(scene.total().await, json!(7));
    for (file, text) in [("ring", "ring is missing"), ("plan.json", "plan.json is missing")] {
        fs::remove_file(scene.data().join(file)).unwrap();
        let configuration = fs::read(scene.node().join("configuration")).unwrap();
        fs::remove_file(scene.node().join("configuration")).unwrap();
        let said = scene.refusal();
        assert!(said.contains(text), "{said}");
        fs::write(scene.node().join("configuration"), configuration).unwrap();
        assert_eq!(scene.total().await, json!(7), "{file}");
    }
}

#[tokio::test]
async fn a_plan_that_this_version_does_not_take_is_told_and_given_again_once_it_is_removed() {
    let scene = Scene::new().await;
    let kept: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(scene.data().join("plan.json")).unwrap()).unwrap();
    let options = StoreOptions { plan_uid: kept["uid"].as_str().unwrap().to_owned(), ordinal: 0 };
    Store::open(scene.node(), &options).unwrap().save_configuration(b"of another version").unwrap();
    let checked = scene.checked();
    let said = scene.refusal();
    Scene::agrees(&checked, &said);
    assert!(said.contains("the saved plan and ring can't be used"), "{said}");
    fs::remove_file(scene.node().join("configuration")).unwrap();
    assert_eq!(scene.total().await, json!(7));
}

#[tokio::test]
async fn other_folders_are_refused_and_left_as_they_are() {
    let scene = Scene::new().await;
    fs::write(scene.plan(), plans::COUNTER.replace("counters", "others")).unwrap();
    assert!(scene.refusal().contains("belongs to the plan"));
    fs::write(scene.plan(), plans::COUNTER).unwrap();
    let dev = Dev::start(&scene.plan(), 1, &scene.data()).unwrap();
    // A node that runs changes its own files meanwhile, and check looks at none of them.
    let check =
        Command::new(program("agent-node")).args(["check", "-o", "json"]).arg(scene.data()).output().unwrap();
    let line: Value = serde_json::from_slice(&check.stdout).unwrap();
    let said = scene.refusal();
    assert!(said.contains("is in use by another process"));
    assert_eq!((check.status.code(), line["refusals"][0]["error"].as_str()), (Some(1), Some(said.as_str())));
    let check =
        Command::new(program("agent-node")).args(["check", "-o", "json"]).arg(scene.node()).output().unwrap();
    let line: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!((&line["inUse"], &line["log"]), (&json!(true), &Value::Null));
    dev.stop().unwrap();
    let other = scene.0.path().join("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "mine").unwrap();
    let (_, said) = Dev::refused(&scene.plan(), 1, &other).unwrap();
    assert!(said.contains("is no data folder of"), "{said}");
    let check = Command::new(program("agent-node")).arg("check").arg(&other).output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&check.stdout).contains("is not a data folder of a node: it holds `letter`")
    );
    fs::rename(scene.node(), scene.data().join("away")).unwrap();
    fs::create_dir(scene.node()).unwrap();
    fs::write(scene.node().join("letter"), "mine").unwrap();
    let checked = scene.checked();
    let said = scene.refusal();
    assert!(said.contains("is not a data folder of a node"));
    Scene::agrees(&checked, &said);
    fs::remove_dir_all(scene.node()).unwrap();
    fs::rename(scene.data().join("away"), scene.node()).unwrap();
    assert_eq!(scene.total().await, json!(7));
}

#[tokio::test]
async fn a_torn_end_and_a_damaged_record_are_told_with_their_places() {
    let scene = Scene::new().await;
    let segment = scene.node().join("log/segment-00000001");
    let whole = fs::read(&segment).unwrap();
    let end = (whole.iter().rposition(|byte| *byte != 0).unwrap() + 1).next_multiple_of(4096);
    let mut torn = whole.clone();
    torn[end..end + 4].copy_from_slice(b"torn");
    fs::write(&segment, &torn).unwrap();
    let node = &scene.checked()[0];
    assert_eq!(
        (&node["starts"], &node["log"]["tornBytes"], &node["damage"]),
        (&json!(true), &json!(4), &Value::Null)
    );
    assert_eq!(node["configuration"]["plan"], "counters");
    assert_eq!(node["configuration"]["slots"], node["configuration"]["slotsOwned"]);
    let records = node["log"]["records"].as_u64().unwrap();
    fs::write(&segment, &whole).unwrap();
    befall(&segment, Happens::Flipped);
    let node = &scene.checked()[0];
    let (places, slots) = (&node["damage"]["places"], &node["damage"]["slots"]);
    assert_eq!((places[0]["segment"].as_u64(), places.as_array().unwrap().len()), (Some(1), 1), "{node}");
    assert_eq!((&slots[0]["firstLsn"], &slots[0]["lastLsn"]), (&json!(1), &json!(1)), "{node}");
    assert!(node["log"]["records"].as_u64().unwrap() < records, "{node}");
    fs::write(&segment, torn).unwrap();
    let before = node["incarnation"].as_u64();
    assert_eq!(scene.total().await, json!(7));
    let node = &scene.checked()[0];
    assert_eq!(
        (&node["log"]["tornBytes"], node["incarnation"].as_u64() > before),
        (&json!(0), true),
        "{node}"
    );
}

/// Where the text of each row of the page is provoked, but here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("belongs to the plan with uid", "a_folder_of_another_plan_ordinal_or_format_is_refused"),
    ("belongs to node", "a_folder_of_another_plan_ordinal_or_format_is_refused"),
    ("another process has opened", "a_foreign_incarnation_ends_the_process_at_the_next_segment"),
    (
        "was restored to an earlier state",
        "a_folder_that_was_put_back_to_an_earlier_state_is_not_served_however_often_it_starts",
    ),
    ("can't be replayed", "a_record_that_can_not_be_replayed_is_named"),
    (
        "the log can't go on, the process ends",
        "a_failed_sync_ends_the_process_before_anything_is_called_durable",
    ),
    ("the disk is full", "a_full_disk_refuses_commands_and_the_node_lives"),
    ("can't be read again", "a_record_that_the_disk_has_lost_is_named"),
];

#[test]
fn every_row_of_the_page_is_tried() {
    let page = fs::read_to_string(root().join("agent-node/docs/not-starting.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let rows: BTreeSet<&str> = rows.collect();
    let here = include_str!("not_starting.rs");
    let tried = |text: &&str| here.contains(&format!("\"{text}\""));
    let missing: Vec<_> = rows.iter().filter(|text| !tried(text)).collect();
    assert!(missing.is_empty(), "nothing provokes {missing:?}");
    let sources = std::process::Command::new("git")
        .args(["grep", "-h", "-E", "fn [a-z_]+\\(", "--", "*.rs"])
        .current_dir(root())
        .output()
        .unwrap();
    let sources = String::from_utf8(sources.stdout).unwrap();
    for (text, test) in ELSEWHERE {
        assert!(rows.contains(text), "{text}");
        assert!(sources.contains(&format!("fn {test}(")), "{test} is no test");
    }
}
