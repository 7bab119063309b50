//! The log on a disk that fails, tears or loses at any one operation: what counted as recorded is in the file, and the next
//! start mends what was left or says why it does not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::book::VERSION;
use super::disk::{Disk, System};
use super::note::Signer;
use super::open::Owner;
use super::record::{Fact, Outcome, Question};
use super::recover::{self, Left};
use super::verify::{Against, VerifyError, verify, whole_logs};
use super::{AuditError, AuditLog, Place, acknowledge, acknowledgement};
use crate::clock::SystemClock;
use crate::policy::{AuditSpec, Sync};

/// What happens at the chosen operation, and at every later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// It fails with this error, and so does every later one.
    Every(Errno),
    /// It fails with this error, and later ones work again.
    Once(Errno),
    /// A write puts half of its bytes into the file and then fails.
    Tear,
    /// It comes late.
    Delay,
}

#[derive(Debug)]
struct Faulty {
    blow: Blow,
    at: u64,
    count: AtomicU64,
    /// How much of each file is on disk, by inode.
    synced: Mutex<Vec<(u64, u64)>>,
}

impl Faulty {
    fn step(&self) -> io::Result<()> {
        let now = self.count.fetch_add(1, Ordering::SeqCst);
        match self.blow {
            Blow::Every(error) if now >= self.at => Err(error.into()),
            Blow::Once(error) if now == self.at => Err(error.into()),
            Blow::Delay if now == self.at => {
                std::thread::sleep(Duration::from_millis(3));
                Ok(())
            }
            Blow::Every(_) | Blow::Once(_) | Blow::Tear | Blow::Delay => Ok(()),
        }
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        System.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        let now = self.count.load(Ordering::SeqCst);
        self.step()?;
        if self.blow == Blow::Tear && now >= self.at {
            let half = if now == self.at { bytes.len() / 2 } else { 0 };
            if half == 0 {
                return Err(Errno::IO.into());
            }
            return System.write(file, &bytes[..half]);
        }
        System.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        self.step()?;
        if self.blow == Blow::Tear && self.count.load(Ordering::SeqCst) > self.at + 1 {
            return Err(Errno::IO.into());
        }
        let metadata = file.metadata()?;
        System.sync(file)?;
        let mut synced = self.synced.lock().unwrap();
        synced.retain(|(inode, _)| *inode != metadata.ino());
        synced.push((metadata.ino(), metadata.len()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        System.rename(from, to)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.step()?;
        System.truncate(file, length)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.step()?;
        System.reserve(file, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        System.remove(path)
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        self.step()?;
        System.sync_names(directory)
    }
}

const OWNER: Owner<'_> = Owner { policy: "test", hash: [0; 32], text: "", redact: &[], patience: Duration::ZERO };

fn spec(max_bytes: u64) -> AuditSpec {
    let (max_age, sinks) = (Duration::from_secs(3600), Vec::new());
    AuditSpec { prefix: "audit".into(), sync: Sync::Each, max_bytes, max_age, keep: None, sinks }
}

fn question(call: &str) -> Question<'_> {
    Question {
        call,
        agent: "stdio:uid=1",
        tool: "api_send",
        verdict: "allow",
        code: None,
        cause: None,
        rule: None,
        line: None,
        rules: Vec::new(),
        effect: None,
        credential: None,
        person: None,
        idempotency_key: None,
        operation: None,
        argument: None,
        request: None,
    }
}

fn outcome(call: &str) -> Outcome<'_> {
    Outcome {
        call,
        code: None,
        cause: None,
        status: Some(200),
        bytes: Some(2),
        attempts: None,
        redacted: None,
        retry_after_seconds: None,
        duration_us: 1,
    }
}

/// Writes intents and outcomes as calls do, until one fails; the calls whose intent counted as recorded.
fn session(directory: &Path, disk: Arc<dyn Disk>, calls: u64) -> Vec<String> {
    let mut counted = Vec::new();
    let signer = Signer::load(directory).unwrap();
    // It turns to another file on the way.
    let audit = spec(3_500);
    let place = Place { directory, audit: &audit };
    let clock = Arc::new(SystemClock::new());
    let Ok(log) = AuditLog::begin(&place, &OWNER, signer, &Left::default(), disk, clock) else { return counted };
    for number in 0..calls {
        let call = format!("{}-{number}", log.shared.id);
        let Ok(seq) = log.shared.write(&[Fact::Question(&question(&call))]) else { break };
        if !log.shared.syncer.wait_blocking(seq) {
            break;
        }
        counted.push(call.clone());
        if log.shared.write(&[Fact::Answer(outcome(&call))]).is_err() {
            break;
        }
    }
    // Whether the end is in the file, nobody counts on.
    log.stop("end of input", 0).ok();
    counted
}

/// What a power cut leaves of what was not brought to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// So many bytes of each file.
    Cut(u64),
    /// All of the newest file and so many bytes of the others: the system writes what it likes first.
    Uneven(u64),
}

/// Throws away what was not brought to disk, but for a few bytes.
fn cut_the_power(directory: &Path, disk: &Faulty, power: Power) {
    use std::os::unix::fs::MetadataExt;
    let synced = disk.synced.lock().unwrap().clone();
    let files = jsonl(directory);
    for path in &files {
        let kept = match power {
            Power::On => u64::MAX,
            Power::Uneven(_) if files.last() == Some(path) => u64::MAX,
            Power::Cut(kept) | Power::Uneven(kept) => kept,
        };
        let metadata = path.metadata().unwrap();
        let safe = synced.iter().find(|(inode, _)| *inode == metadata.ino()).map_or(0, |(_, length)| *length);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(safe.saturating_add(kept).min(metadata.len())).unwrap();
    }
}

fn jsonl(directory: &Path) -> Vec<PathBuf> {
    let files = directory.read_dir().unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

/// One run: the blow, perhaps the power cut, and the next start.
fn one_point(blow: Blow, at: u64, power: Power) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let disk = Arc::new(Faulty { blow, at, count: AtomicU64::new(0), synced: Mutex::default() });
    let counted = session(directory, disk.clone(), 12);
    let what = format!("{blow:?} at operation {at}, power {power:?}");
    cut_the_power(directory, &disk, power);
    let text: String = jsonl(directory).iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for call in &counted {
        let intent = format!("\"kind\":\"question\",\"call\":\"{call}\",");
        let whole = text.split_inclusive('\n').any(|line| line.contains(&intent) && line.ends_with('\n'));
        assert!(whole, "{what}: the intent of {call} counted as recorded and is not in the file");
    }
    let operations = disk.count.load(Ordering::SeqCst);
    // The next start, on a disk that is well again. A process of its own would have a number of its own; this one waits until
    // the time in the name of its log is another.
    std::thread::sleep(Duration::from_millis(2));
    let signer = Signer::load(directory).unwrap();
    let key = signer.public().clone();
    let refused = recover::look(&System, directory, "audit", &key).err().map(|error| {
        let AuditError::Damaged { broken } = error else { panic!("{what}: {error}") };
        // Whole records behind a file without its end are nothing that a start mends: it says why, and a person decides.
        assert!(matches!(power, Power::Uneven(_)), "{what}: {broken}");
        assert!(matches!(broken.error, VerifyError::Unnamed), "{what}: {broken}");
        acknowledge(&broken.file, "a power cut", Arc::new(SystemClock::new())).unwrap();
        broken.file
    });
    let left = recover::look(&System, directory, "audit", &key).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (audit, clock) = (spec(u64::MAX), Arc::new(SystemClock::new()));
    let place = Place { directory, audit: &audit };
    let log = AuditLog::begin(&place, &OWNER, signer, &left, Arc::new(System), clock).unwrap();
    left.set_aside(&System, directory, "audit").unwrap();
    log.stop("end of input", 0).unwrap();
    for log in whole_logs(directory).unwrap() {
        let found = verify(&log, &Against::key(key.clone()), &mut |_| ());
        if refused.as_ref().is_some_and(|file| log.files().contains(file)) {
            assert!(found.is_err(), "{what}: it stays a doubt");
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(found.torn_tail, 0, "{what}: what was torn is set aside");
    }
    operations
}

#[expect(clippy::disallowed_methods, reason = "the counts of the soak run are chosen by the environment")]
fn soak() -> bool {
    std::env::var("PORTCULLIS_SOAK").is_ok_and(|value| !value.is_empty())
}

#[test]
fn whatever_the_disk_does_an_intent_that_counted_is_in_the_file_and_the_next_start_mends_the_rest() {
    let calm = one_point(Blow::Delay, u64::MAX, Power::On);
    assert!(calm > 50, "{calm} operations");
    let errors = [Errno::NOSPC, Errno::IO, Errno::ROFS];
    let blows =
        errors.into_iter().flat_map(|error| [Blow::Every(error), Blow::Once(error)]).chain([Blow::Tear, Blow::Delay]);
    let mut points = 0;
    for (number, blow) in blows.enumerate() {
        for at in 0..calm {
            let powers = &[Power::On, Power::Cut(0), Power::Cut(37), Power::Uneven(0), Power::Uneven(37)][..];
            // Each operation meets each blow; how the power is cut, all ways in a soak run.
            let powers = if soak() { powers } else { powers.split_at(number % powers.len()).1.split_at(1).0 };
            for power in powers {
                one_point(blow, at, *power);
                points += 1;
            }
        }
    }
    assert!(points >= if soak() { 1_000 } else { 300 }, "{points} points");
}

/// A disk on which space runs out at the second reservation.
#[derive(Debug, Default)]
struct Small(AtomicU64);

impl Disk for Small {
    fn create(&self, path: &Path) -> io::Result<File> {
        System.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        System.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        System.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename(from, to)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        System.truncate(file, length)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => System.reserve(file, bytes),
            _ => Err(Errno::NOSPC.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        System.remove(path)
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        System.sync_names(directory)
    }
}

#[test]
fn on_a_full_disk_that_is_recorded_what_began_is_ended_and_nothing_new_begins() {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::load(directory.path()).unwrap();
    let key = signer.public().clone();
    let audit = spec(u64::MAX);
    let place = Place { directory: directory.path(), audit: &audit };
    let clock = Arc::new(SystemClock::new());
    let log = AuditLog::begin(&place, &OWNER, signer, &Left::default(), Arc::new(Small::default()), clock).unwrap();
    let mut open = Vec::new();
    // More than half of what is reserved at first, in calls that have no answer yet.
    let refused = loop {
        let call = format!("{}-{}{}", log.shared.id, open.len(), "0".repeat(60_000));
        match log.shared.write(&[Fact::Question(&question(&call))]) {
            Ok(seq) => assert!(log.shared.syncer.wait_blocking(seq)),
            Err(error) => break error,
        }
        open.push(call);
    };
    assert!(matches!(refused, super::AuditError::Full), "{refused}");
    for call in &open {
        log.shared.write(&[Fact::Answer(outcome(call))]).unwrap();
    }
    log.stop("end of input", 0).unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert!(text.contains("\"kind\":\"full\"}"), "it is recorded");
    let [log] = &whole_logs(directory.path()).unwrap()[..] else { panic!("one log") };
    let found = verify(log, &Against::key(key), &mut |_| ()).unwrap();
    assert!(found.is_anchored() && found.stopped && found.open == 0, "{found:?}");
    assert_eq!(found.answers, open.len() as u64);
}

#[test]
fn the_examples_of_the_document_are_what_the_program_makes() {
    let text = include_str!("../../docs/audit-log.md");
    let example = text.split_once("```jsonl\n").unwrap().1.split_once("```").unwrap().0;
    let hashes: Vec<_> = example.lines().map(|line| super::hex(&Sha256::digest(line))).collect();
    for hash in &hashes {
        assert!(text.contains(&format!("`{hash}`")), "the document names the hash {hash}");
    }
    let key = text.split_once("verifier key is `").unwrap().1.split_once('`').unwrap().0;
    let key = super::note::PublicKey::parse(key).unwrap();
    assert!(text.contains(&format!("`{}`", key.fingerprint())), "the document names the key {}", key.fingerprint());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit-example.jsonl");
    std::fs::write(&path, example).unwrap();
    let found = super::verify::verify_file(&path, &Against::key(key)).unwrap();
    assert!(found.is_anchored() && found.stopped, "{found:?}");
    assert!(example.starts_with(&format!("{{\"v\":{VERSION},")));
}

#[test]
fn a_clock_that_is_set_is_a_record() {
    use crate::clock::{Clock, ManualClock};
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::load(directory.path()).unwrap();
    let audit = spec(u64::MAX);
    let place = Place { directory: directory.path(), audit: &audit };
    let clock = ManualClock::default();
    clock.advance(Duration::from_secs(100));
    let log =
        AuditLog::begin(&place, &OWNER, signer, &Left::default(), Arc::new(System), Arc::new(clock.clone())).unwrap();
    let write = |call: &str| {
        let seq = log.shared.write(&[Fact::Question(&question(call))]).unwrap();
        assert!(log.shared.syncer.wait_blocking(seq));
    };
    clock.advance(Duration::from_secs(600));
    write("a");
    clock.set_wall(clock.wall() + Duration::from_secs(1));
    write("b");
    clock.set_wall(clock.wall() - Duration::from_secs(10));
    write("c");
    write("d");
    log.stop("end of input", 0).unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let steps: Vec<_> = text.lines().filter(|line| line.contains("\"kind\":\"clock\"")).collect();
    // Time that passes is none, and a second is none yet.
    let [step] = steps[..] else { panic!("one step: {steps:?}") };
    assert!(step.ends_with("\"step_ms\":-9000}"), "{step}");
}

/// A disk on which the end of a log's first file takes long to come to disk.
#[derive(Debug)]
struct Slow {
    directory: PathBuf,
    begun: std::sync::mpsc::SyncSender<()>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Disk for Slow {
    fn create(&self, path: &Path) -> io::Result<File> {
        System.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        System.write(file, bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let files = jsonl(&self.directory);
        // The next file is made just before this one ends.
        if files.len() == 2 && files[0].metadata()?.ino() == file.metadata()?.ino() {
            self.begun.send(()).ok();
            self.go_on.lock().unwrap().recv().ok();
        }
        System.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        System.rename(from, to)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        System.truncate(file, length)
    }

    fn reserve(&self, file: &File, bytes: u64) -> io::Result<()> {
        System.reserve(file, bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        System.remove(path)
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        System.sync_names(directory)
    }
}

#[test]
fn while_the_end_of_a_full_file_comes_to_disk_calls_go_on_in_the_next_and_nothing_there_counts_as_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::load(directory.path()).unwrap();
    let key = signer.public().clone();
    let audit = spec(6_000);
    let place = Place { directory: directory.path(), audit: &audit };
    let (begun, has_begun) = std::sync::mpsc::sync_channel(1);
    let (let_go, go_on) = std::sync::mpsc::channel();
    let disk = Arc::new(Slow { directory: directory.path().to_owned(), begun, go_on: Mutex::new(go_on) });
    let clock = Arc::new(SystemClock::new());
    let log = AuditLog::begin(&place, &OWNER, signer, &Left::default(), disk, clock).unwrap();
    let ask = |log: &AuditLog, number: u32| {
        let call = format!("{}-{number}{}", log.shared.id, "0".repeat(3_000));
        log.shared.write(&[Fact::Question(&question(&call))]).unwrap()
    };
    for number in 0..3 {
        ask(&log, number);
    }
    has_begun.recv_timeout(Duration::from_secs(10)).expect("the file is full");
    let (other, (done, is_done)) = (log.clone(), std::sync::mpsc::channel());
    let caller = std::thread::spawn(move || done.send(ask(&other, 3)).unwrap());
    let seq = is_done.recv_timeout(Duration::from_secs(10)).expect("a call is held up by the sync");
    caller.join().unwrap();
    let [_, second] = &jsonl(directory.path())[..] else { panic!("two files") };
    assert_eq!(std::fs::read_to_string(second).unwrap().lines().count(), 2, "it went on there");
    let (waiting, (done, is_done)) = (log.clone(), std::sync::mpsc::channel());
    let write = std::thread::spawn(move || done.send(waiting.shared.syncer.wait_blocking(seq)).unwrap());
    assert!(
        is_done.recv_timeout(Duration::from_millis(300)).is_err(),
        "it counts as on disk before the end it follows"
    );
    drop(let_go);
    assert!(is_done.recv_timeout(Duration::from_secs(10)).expect("it is on disk in the end"));
    write.join().unwrap();
    log.stop("end of input", 0).unwrap();
    let [log] = &whole_logs(directory.path()).unwrap()[..] else { panic!("one log") };
    assert!(verify(log, &Against::key(key), &mut |_| ()).unwrap().is_anchored());
}

#[test]
fn a_file_with_a_whole_record_is_never_set_aside_and_one_with_half_a_record_is() {
    for (records, mended) in [(0, true), (1, false), (3, false)] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let disk =
            Arc::new(Faulty { blow: Blow::Delay, at: u64::MAX, count: AtomicU64::new(0), synced: Mutex::default() });
        session(directory, disk, 12);
        let files = jsonl(directory);
        let [first, second] = &files[..] else { panic!("two files: {files:?}") };
        let lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let (mut one, two) = (lines(first), lines(second));
        // The end of the first file is gone, by a power cut or by somebody's hand, and no head file tells of it.
        one.truncate(one.len() - 3);
        one.retain(|line| !line.contains("\"kind\":\"rotate\""));
        assert!(!two[..3].iter().any(|line| line.contains("\"kind\":\"checkpoint\"")));
        let half = "{\"v\":2,";
        let kept: String = two[..records].iter().map(|line| format!("{line}\n")).chain([half.to_owned()]).collect();
        std::fs::write(first, one.join("\n") + "\n" + half).unwrap();
        std::fs::write(second, &kept).unwrap();
        std::fs::remove_file(super::segment::head(first)).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        let signer = Signer::load(directory).unwrap();
        let key = signer.public().clone();
        let left = match recover::look(&System, directory, "audit", &key) {
            Ok(left) => left,
            Err(error) => {
                assert!(!mended, "{error}");
                let said = error.to_string();
                assert!(said.contains("does not end by naming") && said.contains("audit acknowledge"), "{said}");
                acknowledge(second, "a power cut", Arc::new(SystemClock::new())).unwrap();
                recover::look(&System, directory, "audit", &key).unwrap();
                assert_eq!(std::fs::read_to_string(second).unwrap(), kept, "nothing was moved");
                assert!(acknowledgement(second, &Against::key(key)).is_some());
                continue;
            }
        };
        assert!(mended, "{records} records");
        let audit = spec(u64::MAX);
        let place = Place { directory, audit: &audit };
        let log =
            AuditLog::begin(&place, &OWNER, signer, &left, Arc::new(System), Arc::new(SystemClock::new())).unwrap();
        left.set_aside(&System, directory, "audit").unwrap();
        log.stop("end of input", 0).unwrap();
        assert_eq!(lines(first), one, "whole again");
        for path in [first, second] {
            assert_eq!(std::fs::read_to_string(path.with_extension("torn")).unwrap(), half);
        }
        let torn = lines(log.path()).iter().filter(|line| line.contains("\"kind\":\"torn\"")).count();
        assert_eq!(torn, 2, "the new log says so of both");
        for log in whole_logs(directory).unwrap() {
            assert_eq!(verify(&log, &Against::key(key.clone()), &mut |_| ()).unwrap().torn_tail, 0);
        }
    }
}

#[test]
fn a_log_is_left_alone_while_its_gateway_makes_the_next_file() {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::load(directory.path()).unwrap();
    let key = signer.public().clone();
    let audit = spec(u64::MAX);
    let place = Place { directory: directory.path(), audit: &audit };
    let clock = Arc::new(SystemClock::new());
    let log = AuditLog::begin(&place, &OWNER, signer, &Left::default(), Arc::new(System), clock).unwrap();
    // A record of which another process sees the half, and a new file whose lock is not taken yet.
    let mut file = std::fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    io::Write::write_all(&mut file, b"{\"v\":2,").unwrap();
    System.create(&super::segment::path(log.path(), 2)).unwrap();
    let look = || recover::look(&System, directory.path(), "audit", &key).unwrap().torn.len();
    assert_eq!(look(), 0, "its gateway writes it");
    drop(log);
    assert_eq!(look(), 1, "nobody does any more, and its end is in the file before the empty one");
}
