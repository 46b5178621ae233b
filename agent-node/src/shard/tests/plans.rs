//! Changes of the plan: agents are laid out for it when they are looked at, and nobody can tell.

use super::*;
use proptest::prelude::*;

/// One plan of several: lanes come and go, change their order and kind, and so do routes and what `retain` keeps.
fn plan(number: usize) -> Arc<Plan> {
    static ALL: LazyLock<Vec<Arc<Plan>>> = LazyLock::new(|| (0..6).map(parsed).collect());
    ALL[number].clone()
}

fn parsed(number: usize) -> Arc<Plan> {
    let text = match number {
        0 => PLAN.to_owned(),
        1 => PLAN.replace("\"name\": \"note\"", "\"name\": \"remark\""),
        2 => PLAN.replace("/sum/:id", "/sums/:id").replace("'/sum/", "'/sums/"),
        3 => PLAN.replace(
            "{\"name\": \"note\", \"type\": \"Value\", \"access\": \"ReadWrite\"}, {\"name\": \"marks\", \"type\": \"Map\", \"access\": \"ReadWrite\"}",
            "{\"name\": \"marks\", \"type\": \"Map\", \"access\": \"ReadWrite\"}, {\"name\": \"note\", \"type\": \"Value\", \"access\": \"ReadWrite\"}",
        ),
        4 => PLAN.replace("\"initial\": 0}, {\"name\": \"seen\"", "\"initial\": 7}, {\"name\": \"seen\""),
        _ => PLAN.replace("{\"entries\": 3}", "{\"entries\": 1}"),
    };
    Arc::new(Plan::parse(text.as_bytes()).unwrap_or_else(|errors| panic!("{errors:?}")))
}

fn change(rig: &mut Rig, number: usize) {
    let owned = vec![Some(Ownership { epoch: 1, history: 5 }); 256];
    rig.handle(Event::Configured(Arc::new(Assignment { plan: plan(number), generation: 2, owned })));
}

#[test]
fn a_change_of_the_plan_touches_no_agent_before_it_is_looked_at() {
    let mut rig = Rig::new();
    for id in 0..100 {
        rig.send(&format!("/counter/{id}"), "add", "{\"n\": 1}", None).unwrap();
    }
    let laid_out = |rig: &Rig| {
        let found =
            rig.shard.configuration.as_ref().unwrap().plan.find(&Address::parse("/counter/1").unwrap());
        let layout = rig.shard.layouts.of(found.unwrap().kind);
        rig.shard
            .slots
            .iter()
            .flatten()
            .flat_map(|slot| slot.agents.all())
            .filter(|(_, agent)| agent.is_laid_out(layout))
            .count()
    };
    assert_eq!(laid_out(&rig), 100);
    change(&mut rig, 4);
    assert_eq!(laid_out(&rig), 100, "what keeps its lanes keeps its layout");
    change(&mut rig, 1);
    assert_eq!(laid_out(&rig), 0);
    assert_eq!(rig.shown("/counter/5", "total"), "1");
    assert_eq!(rig.get("/counter/6", "none").unwrap_err().code, 404);
    assert_eq!(laid_out(&rig), 1);
    rig.restart();
    assert_eq!(laid_out(&rig), 0, "nor does a start");
    assert_eq!(rig.shown("/counter/5", "total"), "1");
}

#[derive(Debug, Clone)]
enum Turn {
    Plan(usize),
    Add { agent: u8, n: u8 },
    Note { agent: u8, n: u8 },
    Mark { agent: u8, key: u8 },
    Look { agent: u8 },
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0..6_usize).prop_map(Turn::Plan),
        3 => (0..3_u8, 1..9_u8).prop_map(|(agent, n)| Turn::Add { agent, n }),
        2 => (0..3_u8, 1..9_u8).prop_map(|(agent, n)| Turn::Note { agent, n }),
        2 => (0..3_u8, 0..4_u8).prop_map(|(agent, key)| Turn::Mark { agent, key }),
        2 => (0..3_u8).prop_map(|agent| Turn::Look { agent }),
        1 => Just(Turn::Restart),
    ]
}

/// All that clients can see of all agents. Whoever looks at it lays all of them out.
fn seen(rig: &mut Rig) -> Vec<String> {
    let lanes = ["total", "seen", "note", "remark", "marks", "faults", "hidden"];
    let mut all = Vec::new();
    for agent in 0..3 {
        for lane in lanes {
            let agent = format!("/counter/{agent}");
            let got = rig.get(&agent, lane).map(|got| (got.version, got.body));
            all.push(format!("{agent} {lane} {got:?}"));
        }
    }
    all
}

proptest! {
    /// A shard whose agents are all looked at after each change of the plan, and one whose agents are looked at when a
    /// client asks for one: both give the same records and the same answers.
    #[test]
    fn it_is_as_if_all_were_laid_out_at_once(turns in proptest::collection::vec(turn(), 1..60)) {
        let (mut eager, mut lazy) = (Rig::new(), Rig::new());
        for turn in turns {
            for rig in [&mut eager, &mut lazy] {
                match &turn {
                    Turn::Plan(number) => change(rig, *number),
                    Turn::Add { agent, n } => {
                        let _ = rig.send(&format!("/counter/{agent}"), "add", &format!("{{\"n\": {n}}}"), None);
                    }
                    Turn::Note { agent, n } => drop(rig.send(&format!("/counter/{agent}"), "note", &n.to_string(), None)),
                    Turn::Mark { agent, key } => {
                        let change = format!("{{\"update\": {{\"key\": {key}, \"value\": {key}}}}}");
                        let _ = rig.send(&format!("/counter/{agent}"), "marks", &change, None);
                    }
                    Turn::Look { agent } => drop(rig.get(&format!("/counter/{agent}"), "total")),
                    Turn::Restart => rig.restart(),
                }
            }
            seen(&mut eager);
        }
        prop_assert_eq!(seen(&mut eager), seen(&mut lazy));
        prop_assert_eq!(eager.log, lazy.log);
    }
}
