//! A stream from one node to another: both ends as they are, and between them frames on their way, which come late, and
//! not at all once the stream is cut.

use super::machine::Machine;
use crate::node::answering::{self, Answering, Listening};
use crate::node::asking::{self, Asking};
use crate::node::configure;
use crate::node::core::Core;
use crate::peer::Configuration;
use crate::peer::peers::Peer;
use crate::peer::wire;
use proto::ring::StoreId;
use proto::wire::peer::Frame;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Frames that are on their way in one direction at once.
const WINDOW: usize = 4;

pub struct Wire {
    pub from: usize,
    pub to: usize,
    asks: Option<Asks>,
    answers: Answers,
    to_owner: VecDeque<Frame>,
    back: VecDeque<Frame>,
    /// Nothing goes in any more; what is on its way may still come.
    cut: bool,
}

/// The end that has called.
struct Asks {
    core: Arc<Core>,
    peer: Arc<Peer>,
    store: StoreId,
    asking: Asking,
    over: CancellationToken,
    greeted: bool,
}

/// The end that was called.
enum Answers {
    Waits,
    Open(Listening, Box<Answering>),
    Ended,
}

/// A step of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ask,
    TakeAsked,
    Answer,
    TakeAnswered,
}

pub const ENDS: [End; 4] = [End::Ask, End::TakeAsked, End::Answer, End::TakeAnswered];

impl Wire {
    /// Calls the node that the other one is to be by the ring, if there is any.
    pub fn call(machines: &[Machine], from: usize, to: usize) -> Option<Wire> {
        let core = machines[from].core()?;
        let peer = core.peers.get(to as u16)?;
        let store = peer.target.borrow().as_ref()?.store;
        let over = CancellationToken::new();
        let asking = Asking::new(core, &peer, store, over.clone());
        let asks = Asks { core: core.clone(), peer, store, asking, over, greeted: false };
        Some(Wire {
            from,
            to,
            asks: Some(asks),
            answers: Answers::Waits,
            to_owner: VecDeque::new(),
            back: VecDeque::new(),
            cut: false,
        })
    }

    /// Whether the caller still holds it. Only then it does not call anew.
    pub fn is_held(&self) -> bool {
        self.asks.is_some()
    }

    pub fn is_over(&self) -> bool {
        self.asks.is_none() && !matches!(self.answers, Answers::Open(..))
    }

    /// So much of what is on its way still comes.
    pub fn cut(&mut self, asked: usize, answered: usize) {
        self.cut = true;
        self.to_owner.truncate(asked);
        self.back.truncate(answered);
    }

    /// The process of one end is gone: it is told nothing.
    pub fn lose(&mut self, machine: usize) {
        if self.from == machine {
            self.asks = None;
        }
        if self.to == machine {
            self.answers = Answers::Ended;
        }
    }

    /// Whether it did something.
    pub fn step(&mut self, end: End, machines: &[Machine]) -> bool {
        match end {
            End::Ask => self.ask(),
            End::TakeAsked => self.take_asked(machines),
            End::Answer => self.answer(),
            End::TakeAnswered => self.take_answered(),
        }
    }

    fn ask(&mut self) -> bool {
        let Some(asks) = self.asks.as_mut().filter(|_| !self.cut && self.to_owner.len() < WINDOW) else {
            return false;
        };
        let frame = asks.asking.frame();
        let goes = frame.is_some();
        self.to_owner.extend(frame);
        goes
    }

    fn take_asked(&mut self, machines: &[Machine]) -> bool {
        let Some(core) = machines[self.to].core() else {
            self.answers = Answers::Ended;
            return false;
        };
        let Some(frame) = self.to_owner.pop_front() else {
            if (self.cut || self.asks.is_none()) && !matches!(self.answers, Answers::Ended) {
                self.answers = Answers::Ended;
                return true;
            }
            return false;
        };
        let mut incoming = wire::open(frame).expect("frames of a node can be read");
        if let Answers::Waits = self.answers {
            let said = incoming.hello.as_ref().expect("a Hello in the first frame");
            self.answers = match answering::open(core, said) {
                Ok((listening, answering)) => Answers::Open(listening, Box::new(answering)),
                Err(turned_away) => {
                    self.back.push_back(*turned_away);
                    Answers::Ended
                }
            };
        }
        if let Answers::Open(listening, _) = &mut self.answers {
            configure(core, incoming.configuration.take());
            if !listening.hear(incoming) {
                self.answers = Answers::Ended;
            }
        }
        true
    }

    fn answer(&mut self) -> bool {
        let Answers::Open(_, answering) = &mut self.answers else { return false };
        if answering.replaced.is_cancelled() {
            self.answers = Answers::Ended;
            return true;
        }
        if self.cut || self.back.len() >= WINDOW {
            return false;
        }
        let frame = answering.frame();
        let goes = frame.is_some();
        self.back.extend(frame);
        goes
    }

    fn take_answered(&mut self) -> bool {
        let Some(asks) = &mut self.asks else { return false };
        let Some(frame) = self.back.pop_front() else {
            if self.cut || matches!(self.answers, Answers::Ended) {
                self.hang_up();
                return true;
            }
            return false;
        };
        let incoming = wire::open(frame).expect("frames of a node can be read");
        let Asks { core, peer, store, asking, greeted, .. } = asks;
        if !*greeted {
            if asking::greeted(core, peer, *store, &incoming).is_err() {
                self.hang_up();
                return true;
            }
            *greeted = true;
            asking::reached(core, peer);
        }
        let configuration = asking::hear(core, peer, &asking.gossip, incoming);
        configure(core, configuration);
        true
    }

    /// The caller's end has noticed that the stream is over.
    fn hang_up(&mut self) {
        if let Some(Asks { core, peer, over, .. }) = self.asks.take() {
            over.cancel();
            asking::lost(&core, &peer);
        }
    }
}

fn configure(core: &Arc<Core>, given: Option<Configuration>) {
    if let Some(given) = given {
        configure::by_peer_now(core, given);
    }
}
