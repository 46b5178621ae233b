//! A feed over streams that end and answers that come late: each line is settled once, in order for its agent.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn line(number: u64) -> Line {
    let command = Command { agent: format!("/a/{}", number % 7), lane: "x".into(), body: "1".into() };
    Line { number, command }
}

fn given(numbers: std::ops::RangeInclusive<u64>) -> Feed {
    let mut feed = Feed::new(*numbers.start());
    feed.give(numbers.clone().map(line).collect(), numbers.end() + 1);
    feed.whole();
    feed
}

fn goes(feed: &mut Feed) -> Vec<u64> {
    std::iter::from_fn(|| feed.next_to_go().map(|line| line.number)).collect()
}

#[test]
fn a_thousand_lines_past_the_oldest_unanswered_go_and_no_more() {
    let mut feed = given(1..=2_000);
    assert_eq!(goes(&mut feed), (1..=1_001).collect::<Vec<_>>());
    for number in 2..=1_001 {
        assert_eq!(feed.answered(number, Ok(())), Meaning::Done);
    }
    assert_eq!((goes(&mut feed), feed.oldest_unanswered(), feed.is_ready()), (vec![], 1, false));
    feed.answered(1, Ok(()));
    assert_eq!((goes(&mut feed).len(), feed.oldest_unanswered()), (999, 1_002));
}

#[test]
fn large_bodies_fill_the_window_sooner() {
    let mut feed = given(1..=100);
    for line in &mut feed.ahead {
        line.command.body = vec![b'1'; 200 << 10].into();
    }
    assert_eq!(goes(&mut feed).len(), BYTES_MAX.div_ceil(200 << 10));
}

#[test]
fn an_answer_means_done_refused_or_later() {
    let forgotten = Refusal { outcome_unknown: true, ..Refusal::new(409, "done or refused", "") };
    for (end, meaning) in [
        (Ok(()), Meaning::Done),
        (Err(Refusal::new(409, "old", "")), Meaning::Done),
        (Err(forgotten.clone()), Meaning::Refused(forgotten.clone())),
        (Err(Refusal::new(422, "no", "")), Meaning::Refused(Refusal::new(422, "no", ""))),
        (Err(Refusal::by_rule(409, "sold", "")), Meaning::Refused(Refusal::by_rule(409, "sold", ""))),
        (Err(Refusal::by_rule(429, "shut", "")), Meaning::Later(Refusal::by_rule(429, "shut", ""))),
        (Err(Refusal::not_found("no", "")), Meaning::Refused(Refusal::not_found("no", ""))),
        (Err(Refusal::full("wait", "")), Meaning::Later(Refusal::full("wait", ""))),
        (Err(Refusal::unknown("lost", "")), Meaning::Later(Refusal::unknown("lost", ""))),
    ] {
        let mut feed = given(1..=3);
        assert_eq!(feed.answered(1, end.clone()), Meaning::Nothing, "it has not gone");
        goes(&mut feed);
        assert_eq!(feed.answered(1, end.clone()), meaning);
        let ended = !matches!(meaning, Meaning::Later(_));
        assert_eq!(feed.oldest_unanswered(), if ended { 2 } else { 1 });
        assert_eq!(feed.is_closing(), !ended);
        assert_eq!(feed.answered(1, end) == Meaning::Nothing, ended, "an answer ends a line once");
    }
}

#[test]
fn the_next_stream_begins_with_the_oldest_unanswered_line_and_leaves_out_what_has_ended() {
    let mut feed = given(1..=6);
    goes(&mut feed);
    feed.answered(2, Ok(()));
    feed.answered(3, Err(Refusal::unavailable("no owner", "")));
    feed.answered(5, Ok(()));
    assert!(feed.is_closing() && !feed.is_ready() && feed.next_to_go().is_none());
    feed.stream_ended();
    assert_eq!(goes(&mut feed), [1, 3, 4, 6]);
    feed.answered(1, Ok(()));
    assert_eq!((feed.in_flight(), feed.oldest_unanswered()), (3, 3));
    for number in [3, 4, 6] {
        feed.answered(number, Ok(()));
    }
    assert!(feed.is_finished());
    assert_eq!(feed.ended, Ended { done: 6, refused: 0 });
}

#[test]
fn empty_lines_count_and_are_not_waited_for() {
    let mut feed = Feed::new(4);
    assert!(feed.wants_lines());
    feed.give(vec![line(6)], 9);
    assert_eq!((feed.oldest_unanswered(), feed.is_ready()), (6, true), "nothing else is on its way");
    goes(&mut feed);
    feed.answered(6, Ok(()));
    assert_eq!((feed.oldest_unanswered(), feed.is_finished()), (9, false));
    feed.whole();
    assert!(feed.is_finished());
}

#[test]
fn few_lines_wait_for_more_while_answers_are_to_come() {
    let mut feed = Feed::new(1);
    feed.give((1..=2).map(line).collect(), 3);
    goes(&mut feed);
    feed.give((3..=50).map(line).collect(), 51);
    assert!(!feed.is_ready());
    feed.give((51..=102).map(line).collect(), 103);
    assert!(feed.is_ready());
    feed.ahead.truncate(3);
    feed.whole();
    assert!(feed.is_ready(), "no more are to come");
}

/// What the nodes do, as far as a feed can tell: they remember what took effect, and admit in order or not at all.
#[derive(Default)]
struct Nodes {
    applied: BTreeSet<u64>,
    in_order: BTreeMap<u64, Vec<u64>>,
    /// What was sent on the stream that is open.
    queue: VecDeque<u64>,
    put_off: BTreeSet<u64>,
    answers: Vec<(u64, Result<(), Refusal>)>,
}

const AGENTS: u64 = 7;

impl Nodes {
    fn answer(&mut self, put_off: bool) {
        let Some(number) = self.queue.pop_front() else { return };
        let agent = number % AGENTS;
        let end = if put_off || self.put_off.contains(&agent) {
            self.put_off.insert(agent);
            Err(Refusal::unavailable("not now", ""))
        } else if is_wrong(number) {
            Err(Refusal::new(422, "wrong", ""))
        } else if !self.applied.insert(number) && number % 2 == 0 {
            Err(Refusal::new(409, "done before", ""))
        } else {
            let order = self.in_order.entry(agent).or_default();
            if !order.contains(&number) {
                order.push(number);
            }
            Ok(())
        };
        self.answers.push((number, end));
    }

    fn stream_ended(&mut self) {
        self.queue.clear();
        self.put_off.clear();
        self.answers.clear();
    }
}

fn is_wrong(number: u64) -> bool {
    number.is_multiple_of(13)
}

#[derive(Clone, Debug)]
enum Move {
    Give(u8),
    Go(u8),
    Take(u8),
    PutOff,
    Answer(u8),
    Break,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    prop::collection::vec(
        prop_oneof![
            4 => any::<u8>().prop_map(Move::Give),
            4 => any::<u8>().prop_map(Move::Go),
            4 => any::<u8>().prop_map(Move::Take),
            1 => Just(Move::PutOff),
            4 => any::<u8>().prop_map(Move::Answer),
            1 => Just(Move::Break),
        ],
        0..400,
    )
}

#[derive(Default)]
struct Run {
    feed: Feed,
    nodes: Nodes,
    ended: BTreeMap<u64, Meaning>,
    last: u64,
}

impl Run {
    fn play(&mut self, what: &Move) {
        match what {
            Move::Give(count) => {
                let lines: Vec<Line> = (self.last + 1..=self.last + u64::from(*count)).map(line).collect();
                self.last += u64::from(*count);
                self.feed.give(lines, self.last + 1);
            }
            Move::Go(count) => self.go((*count).into()),
            Move::Take(count) => (0..*count).for_each(|_| self.nodes.answer(false)),
            Move::PutOff => self.nodes.answer(true),
            Move::Answer(seed) => self.answer((*seed).into()),
            Move::Break => self.new_stream(),
        }
        if self.feed.is_closing() && self.nodes.answers.is_empty() {
            self.new_stream();
        }
    }

    fn go(&mut self, count: usize) {
        for _ in 0..count {
            let oldest = self.feed.oldest_unanswered();
            let Some(number) = self.feed.next_to_go().map(|line| line.number) else { return };
            assert!(number <= oldest + WINDOW, "{number} is too far past {oldest}");
            assert!(!self.ended.contains_key(&number), "{number} had ended");
            assert!(self.nodes.queue.back().is_none_or(|last| *last < number), "out of order");
            self.nodes.queue.push_back(number);
        }
    }

    /// In any order between agents.
    fn answer(&mut self, seed: usize) {
        if self.nodes.answers.is_empty() {
            return;
        }
        let (number, end) = self.nodes.answers.remove(seed % self.nodes.answers.len());
        let meaning = self.feed.answered(number, end);
        match meaning {
            Meaning::Later(_) => {}
            Meaning::Done | Meaning::Refused(_) => {
                assert_eq!(self.ended.insert(number, meaning), None, "{number} ended twice");
            }
            Meaning::Nothing => panic!("{number} was waited for"),
        }
    }

    fn new_stream(&mut self) {
        self.nodes.stream_ended();
        self.feed.stream_ended();
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_or_put_off_each_line_ends_once_and_agents_see_them_in_order(moves in moves()) {
        let mut run = Run { feed: Feed::new(1), ..Run::default() };
        for what in moves {
            run.play(&what);
        }
        run.feed.whole();
        while !run.feed.is_finished() {
            for what in [Move::Go(255), Move::Take(255)] {
                run.play(&what);
            }
            while !run.nodes.answers.is_empty() {
                run.answer(3);
            }
            if run.feed.is_closing() {
                run.new_stream();
            }
        }
        prop_assert_eq!(run.ended.len() as u64, run.last);
        for (number, meaning) in &run.ended {
            prop_assert_eq!(matches!(meaning, Meaning::Refused(_)), is_wrong(*number));
            prop_assert_eq!(run.nodes.applied.contains(number), !is_wrong(*number));
        }
        for order in run.nodes.in_order.values() {
            prop_assert!(order.is_sorted(), "{:?}", order);
        }
        prop_assert_eq!(run.feed.ended.done + run.feed.ended.refused, run.last);
        prop_assert_eq!((run.feed.in_flight(), run.feed.bytes), (0, 0));
    }
}
