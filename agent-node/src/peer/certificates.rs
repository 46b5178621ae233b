//! What this node shows on port 7778 and whom it trusts there: read from three files at the start, and again whenever
//! they change.
//!
//! *Guarantees.* What is in force fits together and is of this plan; files that are wrong change nothing and are told
//! once. When newer ones come into force, connections that were made with those before end, so that what a bundle does
//! not hold any more opens nothing.

use crate::lock::lock;
use crate::peer::complaints::Complaints;
use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use proto::trust::{self, BUNDLE, CERTIFICATE, Credentials, Fault, KEY, Pair, Pems, Role, Validity};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often it looks whether the files have changed. Kubelets take up to two minutes to bring new ones.
const LOOK: Duration = Duration::from_secs(5);
/// Between two warnings that a certificate has ended.
const WARN_AGAIN: Duration = Duration::from_hours(1);
/// The link by which a kubelet exchanges all files of a Secret at once.
const KUBELETS_LINK: &str = "..data";

pub struct Certificates {
    folder: PathBuf,
    plan_uid: String,
    in_force: ArcSwap<InForce>,
    /// The files as they were read last, right or wrong.
    read: Mutex<Option<Pems>>,
    complaints: Mutex<Complaints>,
    begun: Instant,
    refused: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

pub struct InForce {
    pub credentials: Credentials,
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
    /// What a node is called in certificates.
    pub node: ServerName<'static>,
    /// Ends when newer ones are in force, and with it connections that were made with these.
    pub replaced: CancellationToken,
}

impl Certificates {
    pub fn open(folder: &Path, plan_uid: &str) -> anyhow::Result<Certificates> {
        let pems = read(folder)?;
        let in_force = InForce::new(plan_uid, &pems).with_context(|| unusable(folder))?;
        Ok(Certificates {
            folder: folder.to_owned(),
            plan_uid: plan_uid.to_owned(),
            in_force: ArcSwap::from_pointee(in_force),
            read: Mutex::new(Some(pems)),
            complaints: Mutex::default(),
            begun: Instant::now(),
            refused: AtomicU64::new(0),
            warned: Mutex::default(),
        })
    }

    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Handshakes that came to nothing because of the other side.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Reads the files again, and lets what is new and right be in force.
    pub fn look(&self) {
        let given = match read(&self.folder) {
            Ok(pems) => pems,
            Err(error) => {
                if lock(&self.read).take().is_some() {
                    error!("{error:#}; this node goes on with what it has read before");
                }
                return;
            }
        };
        if lock(&self.read).replace(given.clone()).as_ref() == Some(&given) {
            return;
        }
        match InForce::new(&self.plan_uid, &given) {
            Ok(new) => {
                let until = trust::date(new.credentials.validity.until_s);
                let before = self.in_force.swap(Arc::new(new));
                info!(until, "new certificates are in force: connections to other nodes are opened again");
                before.replaced.cancel();
            }
            Err(error) => {
                error!("{}: {error}; this node goes on with what it has read before", unusable(&self.folder));
            }
        }
    }

    /// Looks again and again, until the node closes.
    pub async fn watch(self: Arc<Self>, closing: CancellationToken) {
        let mut pace = interval(LOOK);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = pace.tick() => {}
            }
            let this = self.clone();
            let looked = spawn_blocking(move || {
                this.look();
                this.warn_of(this.in_force().credentials.validity, "this node's certificate");
            });
            if looked.await.is_err() {
                error!(
                    "looking for new certificates failed because of a bug in this program; please report it"
                );
            }
        }
    }

    /// Another node's certificate was taken: says so if it has ended.
    pub fn took(&self, certificate: &CertificateDer<'_>) {
        if let Ok(validity) = Validity::of(certificate) {
            self.warn_of(validity, "another node's certificate");
        }
    }

    fn warn_of(&self, validity: Validity, whose: &str) {
        if !validity.has_ended(now_s()) {
            return;
        }
        let mut warned = lock(&self.warned);
        if warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            *warned = Some(Instant::now());
            let ended = trust::date(validity.until_s);
            warn!(
                ended,
                "{whose} has expired and is still accepted: check that the operator, which renews the certificates, \
                 is running"
            );
        }
    }

    /// A handshake has come to nothing. What strangers do by the thousand is not said a thousand times.
    pub fn complain(&self, from: &str, fault: &Fault) {
        self.refused.fetch_add(1, Relaxed);
        let now_ms = self.begun.elapsed().as_millis() as u64;
        if let Some(unsaid) = lock(&self.complaints).note(fault.kind(), now_ms) {
            warn!(from, unsaid, "a connection to the port for peers was refused: {fault}");
        }
    }
}

impl InForce {
    pub fn new(plan_uid: &str, pems: &Pems) -> Result<InForce, trust::Error> {
        let credentials = Credentials::load(plan_uid, Role::Node, pems)?;
        Ok(InForce {
            server: Arc::new(trust::server(&credentials)),
            client: Arc::new(trust::client(&credentials)),
            node: Role::Node.name(plan_uid)?,
            replaced: CancellationToken::new(),
            credentials,
        })
    }
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn unusable(folder: &Path) -> String {
    format!("the certificates in {} cannot be used", folder.display())
}

/// All three of one moment, where a kubelet exchanges them.
pub fn read(folder: &Path) -> anyhow::Result<Pems> {
    let of_kubelet = folder.join(KUBELETS_LINK);
    let at = if of_kubelet.exists() { fs::canonicalize(of_kubelet)? } else { folder.to_owned() };
    let text = |name| {
        let path = at.join(name);
        fs::read_to_string(&path).with_context(|| {
            format!(
                "{} cannot be read: the folder that --certificates names holds {CERTIFICATE}, {KEY} and {BUNDLE}",
                path.display()
            )
        })
    };
    let pair = Pair { certificate: text(CERTIFICATE)?, key: text(KEY)? };
    Ok(Pems { pair, bundle: text(BUNDLE)? })
}

/// Makes the three files, which nobody but this user may read.
pub fn write(folder: &Path, pems: &Pems) -> anyhow::Result<()> {
    for (name, text) in [(CERTIFICATE, &pems.pair.certificate), (KEY, &pems.pair.key), (BUNDLE, &pems.bundle)]
    {
        write_private(folder, name, text)?;
    }
    Ok(())
}

/// A file that nobody but this user may read; whole, or as it was before.
pub fn write_private(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = fs::remove_file(&new).or(Ok(())).and_then(|()| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    written.map_err(|error: std::io::Error| anyhow!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests;
