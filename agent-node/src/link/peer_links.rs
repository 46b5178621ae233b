//! The links of one other node to lanes that this node owns: the same cursors as clients', told in values.

use super::due::Due;
use super::groups::{Groups, Teller};
use super::lane::WatchState;
use super::mirror::{ATTACHMENT, Budget, Cell, Cursor, Listener, MirrorChange, Start, Told};
use super::table::Owner;
use super::{Begin, Change, Question, Serving, Since, Update, Versioned};
use crate::lock::lock;
use crate::refusal::Refusal;
use proto::json;
use proto::value::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// In one piece of a flush.
const EVENTS_MAX: usize = 4_096;
/// What a change costs beside its values.
const CHANGE_BYTES: usize = 24;

pub struct PeerLinks {
    serving: Serving,
    state: Mutex<PeerLinksState>,
    due: Arc<Due>,
}

#[derive(Default)]
struct PeerLinksState {
    groups: Groups<u64>,
    refused: Vec<(u64, Refusal)>,
    /// The newest question of each attachment that has one.
    questions: HashMap<u64, Asked>,
}

/// A question of the other node that is not answered yet.
#[derive(Clone, Copy)]
struct Asked {
    number: u64,
    /// The question of this node's own mirror that is to be answered before.
    awaits: u64,
}

impl PeerLinks {
    pub fn new(serving: &Serving) -> PeerLinks {
        let state = PeerLinksState::default();
        PeerLinks { serving: serving.clone(), due: state.groups.due.clone(), state: Mutex::new(state) }
    }

    /// The other node attaches, by its own number. `Fate::Elsewhere`: the lane is not here. With a limit, items beyond it wait.
    pub fn open(&self, attachment: u64, agent: &str, lane: &str, since: Since, limit: Option<u64>) {
        let mut state = self.lock();
        if state.groups.has(attachment) {
            return;
        }
        let (start, elsewhere) = (Start::Mirror(since), || Refusal::elsewhere(agent));
        let watched =
            self.serving.watch(agent, lane, start, |target| (target.owner != Owner::Here).then(elsewhere));
        match watched {
            Ok((lane, awaits)) => {
                let credit = limit.map(|limit| limit.try_into().unwrap_or(u32::MAX));
                state.questions.insert(attachment, Asked { number: ATTACHMENT, awaits });
                if !state.groups.open(attachment, lane.clone(), Cursor::begin(start), credit) {
                    self.serving.leave(&lane);
                }
            }
            Err(refusal) => {
                state.refused.push((attachment, refusal));
                self.due.wake();
            }
        }
    }

    /// The other node takes so many items of an attachment in all.
    pub fn limit(&self, attachment: u64, items: u64) {
        self.lock().groups.limit(attachment, items);
    }

    /// The other node asks whether all that was acknowledged until now has been told; the answer follows it.
    pub fn ask(&self, question: Question) {
        let Question { attachment, number } = question;
        let mut state = self.lock();
        let Some(lane) = state.groups.lane_of(attachment) else { return };
        let awaits = lane.come(Owner::Here, Start::Nothing);
        state.questions.insert(attachment, Asked { number, awaits });
        state.groups.wake(attachment);
    }

    pub fn close(&self, attachment: u64) {
        let mut state = self.lock();
        state.questions.remove(&attachment);
        if let Some(lane) = state.groups.close(attachment) {
            self.serving.leave(&lane);
        }
    }

    /// Waits until there may be something to take. May be dropped at any time and loses nothing.
    pub async fn came(&self) {
        self.due.came().await;
    }

    /// Adds what is due now, up to about so many bytes; one value may be larger. True: there may be more.
    pub fn next_updates(&self, bytes_max: usize, out: &mut Vec<(u64, Result<Update, Refusal>)>) -> bool {
        let mut state = self.lock();
        let PeerLinksState { groups, refused, questions } = &mut *state;
        let mut room = Budget { events: EVENTS_MAX, bytes: bytes_max };
        for (attachment, lane) in groups.tell_due(None, &mut room, &mut Peer { out, refused, questions }) {
            questions.remove(&attachment);
            if let Some(lane) = lane {
                self.serving.leave(&lane);
            }
        }
        self.serving.grant(&mut groups.grants);
        self.serving.ask_for_more(&mut groups.wanting);
        out.extend(refused.drain(..).map(|(attachment, refusal)| (attachment, Err(refusal))));
        room.is_spent()
    }

    fn lock(&self) -> MutexGuard<'_, PeerLinksState> {
        lock(&self.state)
    }
}

impl Drop for PeerLinks {
    fn drop(&mut self) {
        for lane in self.lock().groups.close_all() {
            self.serving.leave(&lane);
        }
    }
}

struct Peer<'a> {
    out: &'a mut Vec<(u64, Result<Update, Refusal>)>,
    refused: &'a mut Vec<(u64, Refusal)>,
    questions: &'a mut HashMap<u64, Asked>,
}

impl Teller<u64> for Peer<'_> {
    fn ends(&self, lane: &WatchState) -> Option<Refusal> {
        lane.ends_peer()
    }

    /// The items that an attachment begins with are not counted by the other node.
    fn pays(&self, cursor: &Cursor) -> bool {
        cursor.is_synced()
    }

    fn tell_link(
        &mut self,
        link: u64,
        lane: &WatchState,
        cursor: &mut Cursor,
        budget: &mut Budget,
    ) -> (Told, usize) {
        let mut updates = Updates {
            attachment: link,
            told: cursor.told(),
            due: None,
            items: 0,
            begins: !cursor.is_synced(),
            out: self.out,
        };
        let pays = cursor.is_synced();
        let told = lane.mirror.tell(cursor, budget, &mut updates);
        if told == Told::All
            && cursor.is_synced()
            && !self.questions.is_empty()
            && let Some(asked) = self.questions.get(&link)
            && lane.mirror.has_answered(asked.awaits)
        {
            updates.answer(asked.number, cursor.told());
            self.questions.remove(&link);
        }
        updates.finish();
        (told, if pays { updates.items } else { 0 })
    }

    /// The other node's mirror has a gap then, and its own links to judge.
    fn overrun_ends(&self, _lane: &WatchState) -> bool {
        false
    }

    fn ended(&mut self, link: u64, refusal: Refusal) {
        self.refused.push((link, refusal));
    }
}

/// Gathers what one attachment is told into as few updates as can be.
struct Updates<'a> {
    attachment: u64,
    /// The watermark of what has been said before: what a piece of a flush stands for.
    told: u64,
    due: Option<Update>,
    items: usize,
    /// State is being told.
    begins: bool,
    out: &'a mut Vec<(u64, Result<Update, Refusal>)>,
}

impl Updates<'_> {
    fn due(&mut self) -> &mut Update {
        let version = self.told;
        self.due.get_or_insert_with(|| Update {
            version,
            begin: None,
            synced: false,
            changes: Vec::new(),
            entries: None,
            answered: 0,
        })
    }

    /// All up to this version has been told.
    fn answer(&mut self, question: u64, version: u64) {
        let update = self.due();
        (update.version, update.answered) = (version, question);
    }

    fn finish(&mut self) {
        self.out.extend(self.due.take().map(|update| (self.attachment, Ok(update))));
    }
}

impl Listener for Updates<'_> {
    fn begin(&mut self, _reset: bool, begin: Begin) {
        (self.told, self.begins) = (0, true);
        self.due = Some(Update {
            version: 0,
            begin: Some(begin),
            synced: false,
            changes: Vec::new(),
            entries: None,
            answered: 0,
        });
    }

    fn change(&mut self, said: MirrorChange<'_>, version: u64, id: Option<u64>) -> usize {
        let value = |cell: &Cell| cell.value().clone();
        let (change, bytes) = match said {
            MirrorChange::Set(cell) => (Change::Set(value(cell)), bytes(cell.value())),
            MirrorChange::Put(key, cell) => {
                (Change::Put(value(key), value(cell)), bytes(key.value()) + bytes(cell.value()))
            }
            MirrorChange::Remove(key) => (Change::Remove(value(key)), bytes(key.value())),
            MirrorChange::Clear => (Change::Clear, 0),
            MirrorChange::Event(cell) => {
                self.items += 1;
                (Change::Event(value(cell)), bytes(cell.value()))
            }
            MirrorChange::Gap(_, to) if self.begins => {
                // What came before it is part of it.
                let begin = Begin { changed: to, removed: u64::MAX, horizon: to };
                self.begin(false, begin);
                return CHANGE_BYTES;
            }
            MirrorChange::Gap(_, to) => {
                self.finish();
                let gap = Update {
                    version: to,
                    begin: Some(Begin::WHOLE),
                    synced: true,
                    changes: Vec::new(),
                    entries: None,
                    answered: 0,
                };
                self.out.push((self.attachment, Ok(gap)));
                self.told = to;
                return CHANGE_BYTES;
            }
        };
        if self.due.as_ref().is_some_and(|due| due.synced) {
            // It is no part of the state.
            self.finish();
        }
        let update = self.due();
        update.changes.push(Versioned { change, version });
        if let Some(id) = id {
            update.version = id;
        }
        CHANGE_BYTES + bytes
    }

    fn synced(&mut self, id: u64) {
        let update = self.due();
        (update.version, update.synced) = (id, true);
        (self.told, self.begins) = (id, false);
    }

    fn stale(&mut self) {}
}

fn bytes(value: &Value) -> usize {
    json::length(value)
}
