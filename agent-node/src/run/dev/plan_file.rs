//! The file with the plan, and whether someone has edited it.

use anyhow::Context as _;
use proto::plan::{AgentPlanSpec, Error, Plan};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

pub struct PlanFile {
    pub path: PathBuf,
    /// The stamp of the file that was read last; `None`: it was not there.
    seen: Option<Stamp>,
}

/// Changes with every edit, also of editors that put a new file in the place of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// A plan in which nothing is wrong.
pub struct Wish {
    pub name: String,
    pub spec: AgentPlanSpec,
}

impl PlanFile {
    pub fn new(path: PathBuf) -> PlanFile {
        PlanFile { path, seen: None }
    }

    /// What it says could not be taken now: it is looked at again.
    pub fn look_again(&mut self) {
        self.seen = None;
    }

    pub fn is_changed(&self) -> bool {
        self.stamp() != self.seen
    }

    fn stamp(&self) -> Option<Stamp> {
        let file = fs::metadata(&self.path).ok()?;
        Some(Stamp { inode: file.ino(), length: file.len(), changed: (file.ctime(), file.ctime_nsec()) })
    }

    /// Its text, as it is now.
    pub fn read(&mut self) -> anyhow::Result<String> {
        // What changes from here on is seen the next time.
        self.seen = self.stamp();
        fs::read_to_string(&self.path).with_context(|| format!("{} can't be read", self.path.display()))
    }
}

impl Wish {
    pub fn parse(text: &str) -> Result<Wish, Vec<Error>> {
        let (plan, _) = Plan::from_yaml(text)?;
        let name = plan.metadata.name.unwrap_or_default();
        Ok(Wish { name, spec: plan.spec })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edit_is_seen_once() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("plan.yaml");
        let mut file = PlanFile::new(path.clone());
        assert!(
            !file.is_changed() && file.read().unwrap_err().to_string().contains("plan.yaml can't be read")
        );
        fs::write(&path, "one").unwrap();
        assert!(file.is_changed());
        assert_eq!(file.read().unwrap(), "one");
        assert!(!file.is_changed());
        fs::write(temp.path().join("new"), "two").unwrap();
        fs::rename(temp.path().join("new"), &path).unwrap();
        assert!(file.is_changed());
        file.read().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(file.is_changed() && file.read().is_err() && !file.is_changed());
    }

    #[test]
    fn a_wish_has_no_errors_left() {
        let text = "apiVersion: shoal.dev/v1alpha1\nkind: AgentPlan\nmetadata: {name: a}\nspec:\n  agents:\n  \
                    - route: /a/:id\n    lanes: [{name: x, type: Command}, {name: total, type: Value}]\n    rules:\n    \
                    - {command: x, do: [set: {lane: total, to: totl + 1}]}\n";
        let errors = Wish::parse(text).err().unwrap();
        assert!(errors[0].at.starts_with("spec.agents[0].rules[0].do[0].set.to"), "{errors:?}");
        assert_eq!(Wish::parse(&text.replace("totl + 1", "total + 1")).ok().unwrap().name, "a");
        assert!(Wish::parse("nothing").is_err());
    }
}
