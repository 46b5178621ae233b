//! The operator's loop: hears of changes, and looks at plans when the queue says so. Every look is a task that this one
//! waits for.

use crate::context::Context;
use crate::plan::Key;
use crate::queue::{Look, Outcome, Queue};
use crate::reconcile::{Memory, reconcile};
use crate::watch::Touched;
use futures::StreamExt as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info_span};

/// The loop turns this often, whatever happens.
const BEAT: Duration = Duration::from_secs(5);
/// A look that is under way when the operator stops.
const STOP: Duration = Duration::from_secs(5);

type Done = (Key, Memory, Outcome);

pub struct Control {
    context: Arc<Context>,
    queue: Queue,
    memories: HashMap<Key, Memory>,
    looks: JoinSet<Done>,
    /// Whose look a task is: one that has panicked does not say.
    keys: HashMap<Id, Key>,
    began: Instant,
}

impl Control {
    pub fn new(context: Arc<Context>, concurrency: usize) -> Control {
        Control {
            context,
            queue: Queue::new(concurrency),
            memories: HashMap::new(),
            looks: JoinSet::new(),
            keys: HashMap::new(),
            began: Instant::now(),
        }
    }

    /// Until `stop`; `beat` is called at each turn.
    pub async fn run(mut self, mut touched: Touched, stop: CancellationToken, beat: impl Fn()) {
        loop {
            beat();
            self.begin_looks();
            let wake = self.queue.wake_ms().map(|ms| Duration::from_millis(ms.saturating_sub(self.now_ms())));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(key) = touched.next() => self.queue.touch(key, self.now_ms()),
                Some(ended) = self.looks.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep(wake.unwrap_or(BEAT).min(BEAT)) => {}
            }
        }
        let rest = async { while self.looks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP, rest).await.is_err() {
            self.looks.shutdown().await;
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn begin_looks(&mut self) {
        while let Some((key, look)) = self.queue.next(self.now_ms()) {
            let memory = self.memories.remove(&key).unwrap_or_default();
            let span = info_span!("look", plan = %key);
            let task = look_at(self.context.clone(), key.clone(), look, memory, self.began.elapsed())
                .instrument(span);
            self.keys.insert(self.looks.spawn(task).id(), key);
        }
        self.context.metrics.plans.set(self.queue.len() as i64);
    }

    fn ended(&mut self, ended: Result<(Id, Done), JoinError>) {
        let (id, key, memory, outcome) = match ended {
            Ok((id, (key, memory, outcome))) => (id, key, memory, outcome),
            Err(fault) => {
                error!(%fault, "a reconcile ended because of a bug in this program (please report it); it is repeated");
                let Some(key) = self.keys.get(&fault.id()).cloned() else { return };
                (fault.id(), key, Memory::default(), Outcome::Failed)
            }
        };
        self.keys.remove(&id);
        self.context.metrics.ended(outcome);
        self.queue.done(&key, outcome, self.now_ms());
        if outcome == Outcome::Gone {
            self.context.metrics.forget(&key);
        } else {
            self.memories.insert(key, memory);
        }
    }
}

async fn look_at(context: Arc<Context>, key: Key, look: Look, memory: Memory, since: Duration) -> Done {
    let began = Instant::now();
    let (memory, outcome) = reconcile(&context, &key, look, memory, since).await;
    context.metrics.duration_s.observe(began.elapsed().as_secs_f64());
    (key, memory, outcome)
}
