//! A client of event streams: `curl -N`, around which a thread does what an `EventSource` of a browser does. It reads what
//! the standard says, connects again when a stream ends, at the next of its addresses, with the last id that it has read.
//!
//! *Guarantees*: curl is gone when `EventSource` is, however the test ends.

use serde_json::{Map, Value};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two connections.
const RETRY: Duration = Duration::from_millis(100);

pub struct EventSource {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    curl: Option<Child>,
    is_left: bool,
    heard: Heard,
}

/// What has been read so far, over however many connections.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The lane, as the events make it.
    pub value: Option<Value>,
    pub entries: Map<String, Value>,
    pub synced: bool,
    pub last_id: String,
    pub connections: u32,
    pub resets: u32,
    /// When each event and comment came, by its name; a comment has none.
    pub names: Vec<(Instant, String)>,
    /// The data of the last `closed`.
    pub closed: Option<Value>,
    /// What no stream may do.
    pub wrong: Vec<String>,
}

impl EventSource {
    /// Follows a lane, first at the first of these addresses. `target` is what stands behind them.
    pub fn begin(addresses: &[String], target: &str) -> EventSource {
        let shared = Arc::<Mutex<Shared>>::default();
        let urls: Vec<String> = addresses.iter().map(|at| format!("http://{at}{target}")).collect();
        let follows = shared.clone();
        thread::spawn(move || follow(&urls, &follows));
        EventSource { shared }
    }

    pub fn heard(&self) -> Heard {
        lock(&self.shared).heard.clone()
    }
}

impl Drop for EventSource {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.is_left = true;
        end(&mut shared.curl);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(curl: &mut Option<Child>) {
    if let Some(mut curl) = curl.take() {
        let _ = curl.kill();
        let _ = curl.wait();
    }
}

fn follow(urls: &[String], shared: &Mutex<Shared>) {
    for url in urls.iter().cycle() {
        let lines = {
            let mut shared = lock(shared);
            if shared.is_left {
                return;
            }
            let mut curl = Command::new("curl");
            curl.args(["--no-buffer", "--silent", "--header", "Accept: text/event-stream"]).arg(url);
            if !shared.heard.last_id.is_empty() {
                curl.args(["--header", &format!("Last-Event-ID: {}", shared.heard.last_id)]);
            }
            let mut curl = curl.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("curl");
            let lines = BufReader::new(curl.stdout.take().expect("an output")).lines();
            shared.curl = Some(curl);
            lines
        };
        let (mut reading, mut has_connected) = (Reading::default(), false);
        for line in lines.map_while(Result::ok) {
            let heard = &mut lock(shared).heard;
            heard.connections += u32::from(!std::mem::replace(&mut has_connected, true));
            reading.line(&line, heard);
        }
        end(&mut lock(shared).curl);
        thread::sleep(RETRY);
    }
}

/// The fields of an event that has begun.
#[derive(Default)]
struct Reading {
    name: String,
    data: Option<String>,
    id: Option<String>,
}

impl Reading {
    fn line(&mut self, line: &str, heard: &mut Heard) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => std::mem::take(self).dispatch(heard),
            "" => heard.names.push((Instant::now(), String::new())),
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.to_owned()),
            "data" if self.data.is_none() => self.data = Some(value.to_owned()),
            "retry" => {}
            _ => heard.wrong.push(line.to_owned()),
        }
    }

    fn dispatch(self, heard: &mut Heard) {
        let Reading { name, data, id } = self;
        if let Some(id) = id {
            let number = |id: &str| id.parse::<u64>().ok();
            // A watermark does not fall, but for 0, which makes it void.
            if number(&id).is_none_or(|new| new > 0 && number(&heard.last_id).is_some_and(|old| old > new)) {
                heard.wrong.push(format!("id {id} after {}", heard.last_id));
            }
            heard.last_id = id;
        }
        let Some(data) = data else { return };
        match serde_json::from_str(&data) {
            Ok(data) => heard.fold(&name, &data),
            Err(error) => heard.wrong.push(format!("{name}: {error}: {data}")),
        }
        heard.names.push((Instant::now(), name));
    }
}

impl Heard {
    fn fold(&mut self, name: &str, data: &Value) {
        let key = || data["key"].as_str().map_or_else(|| data["key"].to_string(), str::to_owned);
        match name {
            "set" => self.value = Some(data.clone()),
            "update" => drop(self.entries.insert(key(), data["value"].clone())),
            "remove" => drop(self.entries.remove(&key())),
            "clear" => self.entries.clear(),
            "reset" => {
                (self.value, self.synced, self.resets) = (None, false, self.resets + 1);
                self.entries.clear();
            }
            "synced" => self.synced = true,
            "closed" => self.closed = Some(data.clone()),
            "event" | "gap" | "stale" => {}
            _ => self.wrong.push(format!("an event {name}")),
        }
    }
}
