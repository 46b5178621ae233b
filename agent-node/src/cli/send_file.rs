//! `send --file`: a feed's lines to whichever of its nodes takes them. What goes when is decided in `feed`.

use super::feed::{Feed, Meaning};
use super::out::{self, Progress};
use super::pace::Pace;
use super::patience::{After, Patience};
use super::reading::{Batch, Reading, Source, Survey};
use super::tally::{self, Tally};
use crate::cli::client::{Client, Lanes};
use crate::refusal::Refusal;
use crate::run::signals::Signals;
use proto::shown::{Exit, Failure, Output};
use proto::wire::v1::{self, SendAllRequest, SendAllResponse};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{self, Permit, Sender};
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

/// A node answers within 2 s, or says that it can't.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it is tried to reach any node again.
const UNREACHED: Duration = Duration::from_mins(1);
/// A message is closed when it has this much; a body may be larger.
const MESSAGE_BYTES: usize = 64 << 10;
/// Messages that wait for the connection.
const MESSAGES: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub at: Vec<String>,
    pub output: Output,
    pub source: Source,
    /// `None`: named after the content.
    pub client: Option<String>,
    pub from_line: u64,
    /// Lines per second.
    pub rate: Option<u32>,
}

pub async fn run(config: Config) -> Exit {
    let output = config.output;
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => return out::wrong(output, error.to_string()),
    };
    let begun = tokio::select! {
        begun = Sending::begin(config) => begun,
        _ = signals.next() => Err("interrupted before a line was sent".into()),
    };
    match begun {
        Ok(mut sending) => {
            let end = tokio::select! {
                end = sending.run() => end,
                _ = signals.next() => End::Interrupted,
            };
            sending.end(end)
        }
        Err(error) => out::wrong(output, error),
    }
}

/// How a run ended.
enum End {
    Whole,
    Interrupted,
    Failed(Failure),
}

/// How a stream ended.
enum Over {
    /// Nothing is left to send.
    Whole,
    /// What was put off goes again after so many seconds, to this node or the next.
    PutOff(Refusal),
    Lost(Failure),
}

struct Sending {
    output: Output,
    name: String,
    feed: Feed,
    nodes: Client,
    reading: Reading,
    /// Why the file could not be read to its end.
    unread: Option<String>,
    pace: Pace,
    patience: Patience,
    put_off: Option<Refusal>,
    total: Option<u64>,
    begun: Instant,
    progress: Progress,
    second: Interval,
}

impl Sending {
    async fn begin(config: Config) -> Result<Sending, String> {
        let Config { at, output, source, client, from_line, rate } = config;
        let begun = Instant::now();
        let (survey, name) = name(&source, client).await?;
        let total = survey.as_ref().map(|survey| (survey.lines + 1).saturating_sub(from_line));
        if let Some(lines) = survey.as_ref().map(|survey| survey.lines).filter(|lines| from_line > lines + 1)
        {
            return Err(format!("--from-line {from_line}: the file has {lines} lines"));
        }
        let reading = source.read(from_line, survey).map_err(|error| error.to_string())?;
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.reset();
        Ok(Sending {
            output,
            name,
            feed: Feed::new(from_line),
            nodes: Client::new(at),
            reading,
            unread: None,
            pace: Pace::new(rate),
            patience: Patience::new(Some(UNREACHED)),
            put_off: None,
            total,
            begun,
            progress: Progress::begin(output, total),
            second,
        })
    }

    async fn run(&mut self) -> End {
        loop {
            let over = match self.nodes.lanes().await {
                Ok(lanes) => self.stream(lanes).await,
                Err(failure) => Over::Lost(failure),
            };
            self.feed.stream_ended();
            let after = match over {
                Over::Whole => return End::Whole,
                Over::PutOff(refusal) => self.patience.put_off(&refusal),
                Over::Lost(failure) => self.patience.lost(failure, self.begun.elapsed()),
            };
            match after {
                After::GiveUp(failure) => return End::Failed(failure),
                After::Again { pause, elsewhere, say } => {
                    if elsewhere {
                        self.nodes.next();
                    }
                    if let Some(what) = say {
                        self.progress.say(&what);
                    }
                    self.wait(pause).await;
                }
            }
        }
    }

    async fn wait(&mut self, pause: Duration) {
        let paused = sleep(pause);
        tokio::pin!(paused);
        loop {
            tokio::select! {
                () = &mut paused => return,
                _ = self.second.tick() => self.progress.second(&self.tally()),
            }
        }
    }

    /// One stream, until it ends or there is nothing left to send.
    async fn stream(&mut self, mut lanes: Lanes) -> Over {
        let (send, messages) = mpsc::channel(MESSAGES);
        let mut answers = match timeout(SILENCE, lanes.send_all(ReceiverStream::new(messages))).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Over::Lost(Failure::of(self.nodes.address(), &status)),
            Err(_) => return Over::Lost(self.silent()),
        };
        self.patience.reached();
        self.put_off = None;
        let (mut send, mut first, mut heard) = (Some(send), true, Instant::now());
        loop {
            if self.feed.is_finished() {
                return Over::Whole;
            }
            if self.feed.is_closing() {
                send = None;
            }
            let ready = self.feed.is_ready();
            let allowed = if ready { self.pace.allows(self.begun.elapsed()) } else { 0 };
            tokio::select! {
                answered = answers.message() => match answered {
                    Ok(Some(answered)) => {
                        heard = Instant::now();
                        self.settle(answered);
                    }
                    Ok(None) => return self.over(),
                    Err(status) => return self.put_off.take().map_or_else(|| Over::Lost(Failure::of(self.nodes.address(), &status)), Over::PutOff),
                },
                read = self.reading.batches.recv(), if self.feed.wants_lines() => self.read(read),
                permit = room(send.as_ref()), if allowed > 0 => {
                    if self.feed.in_flight() == 0 {
                        heard = Instant::now();
                    }
                    let message = self.message(allowed, std::mem::take(&mut first));
                    if let Some(permit) = permit {
                        permit.send(message);
                    }
                }
                () = sleep(self.pace.wait()), if ready && allowed == 0 => {}
                _ = self.second.tick() => {
                    self.progress.second(&self.tally());
                    if self.feed.in_flight() > 0 && heard.elapsed() > SILENCE {
                        return Over::Lost(self.silent());
                    }
                }
            }
        }
    }

    /// The node has ended the stream, as it does when it stops or when it was asked to.
    fn over(&mut self) -> Over {
        let early = || Failure::unreachable(format!("{} has ended the stream", self.nodes.address()));
        self.put_off.take().map_or_else(|| Over::Lost(early()), Over::PutOff)
    }

    fn silent(&self) -> Failure {
        Failure::unreachable(format!("{} does not answer", self.nodes.address()))
    }

    fn read(&mut self, read: Option<Result<Batch, String>>) {
        match read {
            Some(Ok(Batch { lines, wrong, next })) => {
                for (number, error) in wrong {
                    let refusal = Refusal::bad(error.error, format!("byte {}", error.at));
                    self.feed.refused_unsent();
                    self.progress.say(&refused(self.output, number, &refusal));
                }
                self.feed.give(lines, next);
            }
            Some(Err(why)) => {
                self.progress.say(&why);
                self.unread = Some(why);
            }
            None => self.feed.whole(),
        }
    }

    fn message(&mut self, most: usize, first: bool) -> SendAllRequest {
        let (mut commands, mut bytes) = (Vec::with_capacity(most.min(128)), 0);
        while commands.len() < most
            && bytes < MESSAGE_BYTES
            && let Some(line) = self.feed.next_to_go()
        {
            let super::line::Command { agent, lane, body } = line.command.clone();
            bytes += agent.len() + lane.len() + body.len();
            commands.push(v1::Command { id: line.number, agent, lane, body, sequence: line.number });
        }
        self.pace.went(commands.len());
        SendAllRequest { client: if first { self.name.clone() } else { String::new() }, commands }
    }

    fn settle(&mut self, answered: SendAllResponse) {
        for v1::Answer { id, refusal, version: _, answer: _, answer_gone: _ } in answered.answers {
            match self.feed.answered(id, refusal.map_or(Ok(()), |refusal| Err(of_wire(refusal)))) {
                Meaning::Done => self.patience.succeeded(),
                Meaning::Refused(refusal) => self.progress.say(&refused(self.output, id, &refusal)),
                Meaning::Later(refusal) => {
                    self.put_off.get_or_insert(refusal);
                }
                Meaning::Nothing => {}
            }
        }
        self.progress.moved(&self.tally());
    }

    fn tally(&self) -> Tally {
        Tally { ended: self.feed.ended, total: self.total, elapsed: self.begun.elapsed() }
    }

    fn end(self, end: End) -> Exit {
        let (output, from) = (self.output, self.feed.oldest_unanswered());
        self.progress.end();
        let tally = self.tally();
        match end {
            End::Whole => {
                self.reading.end();
                out::answer(&tally.summary(output, &self.name));
                let all = tally.ended.refused == 0 && self.unread.is_none();
                if all { Exit::Done } else { Exit::Refused }
            }
            End::Interrupted => {
                out::note(&tally::go_on(output, "interrupted", from));
                Exit::Refused
            }
            End::Failed(failure) => {
                // Whatever was done keeps its number, and so is not done again.
                let failure = Failure { outcome_unknown: false, ..failure };
                out::failed(output, &failure);
                if self.patience.has_reached() {
                    out::note(&tally::go_on(output, "some lines were not sent", from));
                }
                failure.exit
            }
        }
    }
}

/// Under which name the lines go.
async fn name(source: &Source, client: Option<String>) -> Result<(Option<Survey>, String), String> {
    match (source, client) {
        (Source::Stdin, None) => {
            Err("standard input needs --client NAME: its lines are numbered under that name".into())
        }
        (Source::Stdin, Some(client)) => Ok((None, client)),
        (Source::File(path), _) if path.is_dir() => {
            Err(format!("{} is a folder: --file names a file of lines", path.display()))
        }
        (Source::File(path), client) if path.metadata().is_ok_and(|file| !file.is_file()) => {
            let unnamed = || {
                let path = path.display();
                format!(
                    "{path} can be read only once and needs --client NAME: its lines are numbered under that name"
                )
            };
            Ok((None, client.ok_or_else(unnamed)?))
        }
        (Source::File(_), client) => {
            let source = source.clone();
            let survey =
                spawn_blocking(move || source.survey()).await.map_err(|error| error.to_string())??;
            let name = client.unwrap_or_else(|| survey.client.clone());
            Ok((Some(survey), name))
        }
    }
}

/// Waits for room for a message. `None`: the connection takes no more, and its end tells why.
async fn room(send: Option<&Sender<SendAllRequest>>) -> Option<Permit<'_, SendAllRequest>> {
    match send {
        Some(send) => match send.reserve().await {
            Ok(permit) => Some(permit),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn refused(output: Output, line: u64, refusal: &Refusal) -> String {
    let Refusal { code, error, at, by_rule, outcome_unknown: _, retry_after_s: _ } = refusal;
    match output {
        Output::Json => {
            let mut object = serde_json::json!({"line": line, "code": code, "error": error, "at": at});
            if *by_rule {
                object["refusedBy"] = "rule".into();
            }
            object.to_string()
        }
        Output::Text => format!("line {line}: {code}: {}", refusal.with_place()),
    }
}

fn of_wire(refusal: v1::Refusal) -> Refusal {
    let v1::Refusal { code, error, at, outcome_unknown, retry_after_s, by_rule } = refusal;
    Refusal { code: code.try_into().unwrap_or(500), error, at, outcome_unknown, retry_after_s, by_rule }
}
