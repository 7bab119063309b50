//! Places that get the log beside its file, which live and die as a test wants it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{
    eventually,
    gate::Home,
    policy::TOKEN,
    recorder::{Recorder, Reply, Seen},
};

/// The variable that holds the secret of every webhook a test starts.
pub(crate) const SECRET: &str = "PORTCULLIS_TEST_SECRET";

const KEY: [u8; 32] = *b"the key of the tests' webhooks..";

/// The secret itself, as Standard Webhooks writes it.
pub(crate) fn secret() -> String {
    format!("whsec_{}", STANDARD.encode(KEY))
}

/// The lines of each log that a sink has taken.
pub(crate) type Copies = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A receiver of webhooks that believes nothing without its signature, and is dead until it is told to live.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) recorder: Recorder,
    pub(crate) copies: Copies,
    alive: Arc<AtomicBool>,
}

impl Webhook {
    pub(crate) fn dead() -> Self {
        let (copies, alive) = (Copies::default(), Arc::<AtomicBool>::default());
        let (taken, lives) = (copies.clone(), alive.clone());
        let recorder = Recorder::start(move |seen| {
            if !lives.load(Ordering::SeqCst) {
                return Reply::new("503 Service Unavailable", &[], "");
            }
            if !is_signed(seen) {
                return Reply::new("401 Unauthorized", &[], "");
            }
            let log = seen.headers("portcullis-log").concat();
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.entry(log).or_default().extend_from_slice(&seen.body);
            Reply::new("204 No Content", &[], "")
        });
        Self { recorder, copies, alive }
    }

    pub(crate) fn alive() -> Self {
        let webhook = Self::dead();
        webhook.live();
        webhook
    }

    pub(crate) fn live(&self) {
        self.alive.store(true, Ordering::SeqCst);
    }

    pub(crate) fn die(&self) {
        self.alive.store(false, Ordering::SeqCst);
    }

    /// The lines of a policy that make this the sink `hook`.
    pub(crate) fn policy(&self, more: &str) -> String {
        format!(
            "\n[[audit.sinks]]\nname = \"hook\"\nwebhook = \"{}records\"\nallow_http = true\nsecret = {{ env = \"{SECRET}\" }}\n{more}\n",
            self.recorder.base_url()
        )
    }

    /// Whether it has exactly the lines of every log.
    pub(crate) fn has_all(&self, home: &Home) -> bool {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        written(home)
            .iter()
            .all(|log| copies.get(name(log)).is_some_and(|copy| *copy == fs::read(log).unwrap_or_default()))
    }

    /// Waits until it has exactly the lines of every log, and nothing else: none lost, none twice, none out of turn.
    pub(crate) fn wait_for_all(&self, home: &Home) {
        eventually("the sink has the log", || self.has_all(home));
        assert_eq!(self.copies.lock().unwrap_or_else(PoisonError::into_inner).len(), written(home).len());
    }

    /// Whether it has every line of every log at least once. A gap, a line that is none, or one out of turn fails the test: what
    /// comes again is a batch that came before.
    pub(crate) fn has_each(&self, home: &Home) -> bool {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        home.logs().iter().all(|log| {
            let text = fs::read(log).unwrap_or_default();
            let lines: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let mut next = 0;
            for line in copies.get(name(log)).iter().flat_map(|copy| copy.split_inclusive(|byte| *byte == b'\n')) {
                let record: serde_json::Value = serde_json::from_slice(line).expect("a record");
                let seq = usize::try_from(record["seq"].as_u64().expect("a number")).expect("a small one");
                assert!(seq <= next, "{} comes after {next} of {}", record["seq"], name(log));
                assert_eq!(lines.get(seq), Some(&line), "record {seq} of {}", name(log));
                next = next.max(seq + 1);
            }
            next == lines.len()
        })
    }

    /// Whether it has a record with this text.
    pub(crate) fn has(&self, text: &str) -> bool {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.values().any(|copy| String::from_utf8_lossy(copy).contains(text))
    }

    /// Nothing that it got holds the gate's credential.
    pub(crate) fn search(&self, home: &Home) {
        assert!(self.recorder.count() > 0, "nothing came");
        for seen in self.recorder.seen() {
            home.canary.search("what a sink got", &[seen.head.as_bytes(), &seen.body].concat());
            assert!(!seen.head.contains(TOKEN) && !seen.head.contains(&secret()), "{}", seen.head);
        }
    }
}

/// The files of the log that hold something: a gateway may be killed before it writes to its next one.
fn written(home: &Home) -> Vec<PathBuf> {
    let mut logs = home.logs();
    logs.retain(|log| fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0));
    logs
}

/// Whether the signature is that of the very bytes (Standard Webhooks, "Verifying signatures").
fn is_signed(seen: &Seen) -> bool {
    let one = |name: &str| seen.headers(name).concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&KEY).expect("any key is one");
    mac.update(format!("{}.{}.", one("webhook-id"), one("webhook-timestamp")).as_bytes());
    mac.update(&seen.body);
    one("webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

pub(crate) fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("a name")
}

/// What is left in the state directory of what sinks wait for.
pub(crate) fn leftovers(home: &Home) -> Vec<String> {
    let files = super::canary::files(&home.state());
    let kept = files.iter().filter(|path| path.extension().is_some_and(|kind| kind == "cursor" || kind == "sinks"));
    kept.map(|path| name(path).to_owned()).collect()
}
