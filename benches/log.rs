//! How many intents a second are on disk before their request may go, by the number of callers, against a plain loop that
//! appends a line and syncs it; and how many a second where reads are not waited for.
//!
//! `cargo bench --bench log`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot be set up should say so and stop, measures real time, and prints what it finds"
)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::agent::Agent;
use portcullis::audit::entry::Outcome;
use portcullis::audit::verify::{Against, logs, verify_file};
use portcullis::audit::{AuditLog, Place};
use portcullis::clock::SystemClock;
use portcullis::policy::{Policy, Verdict};
use portcullis::request::body::DeleteBody;
use portcullis::request::{RawRequest, Request};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

const CALLERS: [usize; 3] = [1, 8, 64];
const LONG: Duration = Duration::from_millis(1_500);
const POLICY: &str = "version = 1\nname = \"bench\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
                      [[allow]]\nid = \"reads\"\nmethods = [\"GET\"]\npaths = [\"/api/**\"]\n[audit]\nsync = ";

fn main() {
    // Where the test harness of cargo asks what there is.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (line, one) = plain(directory.path());
    println!("| intents per second | each on disk | against the plain loop | reads not waited for |");
    println!("|---|--:|--:|--:|");
    for callers in CALLERS {
        let each = through_the_log(directory.path(), "each", callers);
        let lazy = through_the_log(directory.path(), "writes", callers);
        println!("| {callers} in flight | {each:.0} | {:.1} | {lazy:.0} |", each / one);
    }
    let (bytes, took) = verify(directory.path());
    let speed = bytes / took.as_secs_f64() / 1e6;
    println!("\nverify: {speed:.0} MB a second, over {:.0} MB", bytes / 1e6);
    println!("plain loop: {one:.0} a second, append and fdatasync of {line} bytes each");
}

/// Appends and syncs lines as long as those of the log, one after the other; their length, and how many a second.
fn plain(directory: &Path) -> (usize, f64) {
    let policy = policy("each");
    let log = open(directory, &policy);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call(&log, &policy));
    let lines = std::fs::read_to_string(log.path()).unwrap();
    let line = lines.lines().find(|line| line.contains("\"kind\":\"question\"")).unwrap().to_owned() + "\n";
    let mut file = OpenOptions::new().create_new(true).append(true).open(directory.join("plain")).unwrap();
    (line.len(), per_second(|| append(&mut file, &line)))
}

/// Verifies every log that was written; their size in bytes, and how long it took.
#[expect(clippy::cast_precision_loss, reason = "a size in megabytes")]
fn verify(directory: &Path) -> (f64, Duration) {
    let against = Against::keys(&[], directory).unwrap();
    let (mut bytes, start) = (0.0, Instant::now());
    for log in logs(directory).unwrap() {
        bytes += log.metadata().unwrap().len() as f64;
        verify_file(&log, &against).unwrap();
    }
    (bytes, start.elapsed())
}

fn append(file: &mut File, line: &str) {
    file.write_all(line.as_bytes()).unwrap();
    file.sync_data().unwrap();
}

fn per_second(mut each: impl FnMut()) -> f64 {
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < LONG {
        each();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Calls of so many callers, each the next as soon as the last is closed, on one thread as in the gate.
fn through_the_log(directory: &Path, sync: &str, callers: usize) -> f64 {
    let policy = Arc::new(policy(sync));
    let log = open(directory, &policy);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let start = Instant::now();
    let count: u32 = runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..callers {
            let (log, policy) = (log.clone(), policy.clone());
            all.spawn(async move {
                let mut count = 0_u32;
                while start.elapsed() < LONG {
                    call(&log, &policy).await;
                    count += 1;
                    tokio::task::yield_now().await;
                }
                count
            });
        }
        all.join_all().await.into_iter().sum()
    });
    f64::from(count) / start.elapsed().as_secs_f64()
}

async fn call(log: &AuditLog, policy: &Policy) {
    let agent = Agent::stdio(1_000);
    let Verdict::Allow(authorized) = policy.authorize(&agent, request()) else { panic!("the policy allows it") };
    let recorded = log.entry(&agent, "api_get").record(authorized).await.unwrap();
    let outcome = Outcome { status: Some(200), bytes: Some(257), attempts: 1, ..Outcome::default() };
    assert!(recorded.into_asked().close(outcome).await.is_logged());
}

fn open(directory: &Path, policy: &Policy) -> AuditLog {
    let place = Place { directory, audit: policy.audit() };
    AuditLog::open(&place, policy, Arc::new(SystemClock::new())).unwrap()
}

fn policy(sync: &str) -> Policy {
    Policy::parse("bench.toml", &format!("{POLICY}\"{sync}\"\n")).policy.unwrap()
}

fn request() -> Request {
    let (path, delete_body) = ("/api/v1/organization/42/projects", DeleteBody::Refused);
    Request::parse(&RawRequest { method: "GET", path, query: None, headers: None, body: None, delete_body }).unwrap()
}
