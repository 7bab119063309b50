//! `kill -9` at random points under load: the log opens again, and no write was ever received
//! whose intent is not in it. Seeded; `PORTCULLIS_SOAK=1` runs the full count.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::common::{
    Dice,
    gate::{Gate, Home, Launch, records},
    policy,
    recorder::{Recorder, Reply, Seen},
    rounds,
};
use rustix::process::{Pid, Signal, kill_process};

/// Which request of the round pulls the trigger, and who is shot.
#[derive(Debug, Default)]
struct Trigger {
    countdown: AtomicU64,
    pid: AtomicU64,
}

impl Trigger {
    fn aim(&self, pid: Pid, requests: u64) {
        self.pid.store(u64::from(pid.as_raw_nonzero().get().unsigned_abs()), Ordering::SeqCst);
        self.countdown.store(requests, Ordering::SeqCst);
    }

    /// Called as a request arrives, before it is answered.
    fn pull(&self) {
        let before = self.countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if before == Ok(1) {
            let pid = i32::try_from(self.pid.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
            kill_process(pid.expect("somebody is aimed at"), Signal::KILL).ok();
        }
    }
}

/// Reads and writes in turn, each target its own, until the gate is gone.
fn load(gate: &mut Gate, round: u64, dice: &mut Dice) {
    let mut lines = String::new();
    for call in 0..400 {
        let id = gate.id();
        let line = if dice.below(2) == 0 {
            gate.call_line(&id, "api_get", &format!(r#"{{"path":"/api/v1/organization/r{round}c{call}"}}"#))
        } else {
            let path = format!("/api/v1/service_item/r{round}c{call}/labels/");
            gate.call_line(&id, "api_send", &format!(r#"{{"method":"PATCH","path":"{path}","body":{{"c":{call}}}}}"#))
        };
        lines.push_str(&line);
        lines.push('\n');
        if dice.below(8) == 0 {
            gate.send_bytes(lines.as_bytes());
            lines.clear();
        }
    }
    gate.send_bytes(lines.as_bytes());
}

/// The log verifies (a last line that was being written is no doubt), and announces every write
/// that was received while it was kept.
fn assert_log_stands(home: &Home, log: &Path, received: &[Seen]) {
    let verified = home.verify_log(log);
    assert!(verified.status.success(), "{verified:?}");
    let records = records(log);
    let intents: BTreeSet<_> = records
        .iter()
        .filter(|record| record["kind"] == "question" && record["verdict"] == "allow")
        .filter_map(|record| record["path"].as_str())
        .collect();
    for seen in received.iter().filter(|seen| seen.method() == "PATCH") {
        assert!(intents.contains(seen.target()), "received without an intent on record: {}", seen.target());
    }
}

#[test]
fn a_gate_killed_at_any_point_leaves_a_log_that_opens_again_and_no_write_without_intent() {
    let trigger = Arc::new(Trigger::default());
    let fired = Arc::clone(&trigger);
    let upstream = Recorder::start(move |_| {
        fired.pull();
        Reply::json("{}")
    });
    let home = Home::new(&policy::b(&upstream, policy::NEVER));
    let total = rounds(6, 200);
    let mut known = BTreeSet::new();
    for round in 0..total {
        let mut dice = Dice::seeded(round);
        let before = upstream.count();
        let mut gate = Launch::new(&home).start();
        assert!(gate.get("/api/v1/organization/alive").is_success(), "round {round}: it starts on that log");
        let pid = gate.pid;
        if dice.below(3) > 0 {
            // As a request is in the upstream's hands.
            trigger.aim(pid, 1 + dice.below(150));
            load(&mut gate, round, &mut dice);
        } else {
            // At any moment of its own.
            let pause = Duration::from_micros(dice.below(60_000));
            let shot = std::thread::spawn(move || {
                std::thread::sleep(pause);
                kill_process(pid, Signal::KILL).ok();
            });
            load(&mut gate, round, &mut dice);
            shot.join().expect("it was shot");
        }
        gate.expect_killed();
        drop(gate);
        let logs = home.logs();
        let new: Vec<_> = logs.iter().filter(|log| !known.contains(*log)).collect();
        let [log] = new[..] else { panic!("round {round}: one log for each process: {new:?}") };
        assert_log_stands(&home, log, &upstream.seen_since(before));
        known.extend(logs);
    }
    let writes = upstream.seen().iter().filter(|seen| seen.method() == "PATCH").count();
    assert!(writes > 0, "the load holds writes");
    let mut last = Launch::new(&home).start();
    assert!(last.get("/api/v1/organization/alive").is_success(), "it starts on all those logs");
    // Its end verifies every log there is.
    last.finish();
    assert_eq!(home.logs().len() as u64, total + 1, "one log for each process");
}
