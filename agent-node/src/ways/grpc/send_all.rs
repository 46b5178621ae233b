//! `SendAll`: many commands on one stream. Each message goes to the node as far as the node has room; each answer
//! message carries all that is answered. Nothing more is read while commands wait, so a client that does not read its
//! answers holds back itself.

use super::{Source, broken, command, deadline::Doubt, stopping};
use crate::{
    answer,
    done::{Done, End},
    node::{Commands, Request, Ticket},
    refusal::Refusal,
    ways::metrics::Metrics,
};
use proto::wire::v1::{Answer, Command, SendAllRequest, SendAllResponse};
use std::{collections::VecDeque, sync::Arc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// The most commands of one gRPC message: they take more memory than the message did.
const COMMANDS_MAX: usize = 16_384;

type Answered = (Ticket, End);

pub(super) struct Answers {
    commands: Commands,
    incoming: Streaming<SendAllRequest>,
    metrics: Arc<Metrics>,
    /// There is some while commands are unanswered.
    doubt: Doubt,
    stop: CancellationToken,
    begun: Instant,
    /// Set by the first message.
    client: Option<String>,
    /// Read and not yet taken by the node, in order.
    waiting: VecDeque<(Ticket, Request)>,
    /// Taken by the node and not yet answered.
    unanswered: usize,
    answered: Vec<Answered>,
    reading: Reading,
}

enum Reading {
    Open,
    /// Nothing more is read; the call ends so when all that was taken is answered.
    Ended(Result<(), Status>),
}

impl Answers {
    pub(super) fn new(
        commands: Commands,
        incoming: Streaming<SendAllRequest>,
        metrics: Arc<Metrics>,
        doubt: Doubt,
        stop: CancellationToken,
    ) -> Self {
        Self {
            commands,
            incoming,
            metrics,
            doubt,
            stop,
            begun: Instant::now(),
            client: None,
            waiting: VecDeque::new(),
            unanswered: 0,
            answered: Vec::new(),
            reading: Reading::Open,
        }
    }

    fn submit_all(&mut self, message: SendAllRequest) -> Result<(), Status> {
        let SendAllRequest { client, commands } = message;
        if self.client.is_none() {
            if !client.is_empty() {
                answer::key(&client, 1).map_err(|refusal| answer::status(&refusal))?;
            }
            self.client = Some(client);
        }
        if commands.len() > COMMANDS_MAX {
            let text = format!("a message has at most {COMMANDS_MAX} commands");
            return Err(answer::status(&Refusal::new(413, text, "commands")));
        }
        let client = self.client.clone().unwrap_or_default();
        let came_us = self.now_us();
        for Command { id, agent, lane, body, sequence } in commands {
            match command(agent, lane, body, &client, sequence, sequence == 0) {
                Ok(command) => self.waiting.push_back((Ticket { id, came_us }, command)),
                Err(refusal) => self.answered.push((Ticket { id, came_us }, Err(refusal))),
            }
        }
        Ok(())
    }

    fn submit(&mut self) {
        for _ in 0..self.commands.room().min(self.waiting.len()) {
            let Some((ticket, command)) = self.waiting.pop_front() else { return };
            match self.commands.submit(ticket, command) {
                Ok(()) => self.unanswered += 1,
                // What follows must not overtake it.
                Err(full) => return self.end(Err(answer::status(&Refusal::full(full.to_string(), "")))),
            }
        }
    }

    fn now_us(&self) -> u32 {
        self.begun.elapsed().as_micros() as u32
    }

    fn message(&mut self) -> SendAllResponse {
        let now_us = self.now_us();
        let answers = self.answered.drain(..).map(|(Ticket { id, came_us }, end)| {
            self.metrics.commands.count(&end);
            self.metrics.latency.stream.observe(now_us.wrapping_sub(came_us).into());
            match end {
                Ok(Done { version, said }) => {
                    let (answer, answer_gone) = said.into_wire();
                    Answer { id, version, refusal: None, answer, answer_gone }
                }
                Err(refusal) => Answer { id, refusal: Some(answer::message(refusal)), ..Answer::default() },
            }
        });
        SendAllResponse { answers: answers.collect() }
    }

    /// What the node has not taken had no effect; the client sends it again elsewhere.
    fn end(&mut self, how: Result<(), Status>) {
        if how.is_err() {
            self.waiting.clear();
        }
        self.reading = Reading::Ended(how);
    }
}

impl Source for Answers {
    type Message = SendAllResponse;

    async fn next(&mut self) -> Result<Option<SendAllResponse>, Status> {
        loop {
            self.submit();
            self.doubt.is(self.unanswered > 0);
            if !self.answered.is_empty() {
                return Ok(Some(self.message()));
            }
            if let Reading::Ended(how) = &self.reading
                && self.unanswered == 0
                && self.waiting.is_empty()
            {
                return how.clone().map(|()| None);
            }
            let open = matches!(self.reading, Reading::Open);
            tokio::select! {
                () = self.commands.answers(&mut self.answered), if self.unanswered > 0 => {
                    self.unanswered = self.unanswered.saturating_sub(self.answered.len());
                }
                read = self.incoming.message(), if open && self.waiting.is_empty() => {
                    let taken = match read {
                        Ok(Some(message)) => self.submit_all(message),
                        Ok(None) => { self.end(Ok(())); Ok(()) }
                        Err(status) => Err(broken(status)),
                    };
                    if let Err(status) = taken {
                        self.end(Err(status));
                    }
                }
                () = self.stop.cancelled(), if open => self.end(Err(stopping())),
                else => return Err(answer::status(&Refusal::full("no room for what was sent", ""))),
            }
        }
    }
}
