//! Every change that can be made to a log is found, or is named as one behind the last checkpoint.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::chain::Chain;
use super::reader::{Lines, Trouble};
use super::*;
use crate::audit::book::Book;
use crate::audit::checkpoint::{Keeper, Last, Name, Offset, Segment};
use crate::audit::disk::{Disk, Room, System};
use crate::audit::hex;
use crate::audit::merkle::Tree;
use crate::audit::note::{Checkpoint, Note, PublicKey, Signer};
use crate::audit::record::{Fact, Frame, Start, Stop};
use crate::audit::segment::Limits;
use crate::clock::ManualClock;

/// A log of 200 records and a few checkpoints, the key of which only the gateway has.
struct Sample {
    directory: tempfile::TempDir,
    text: Vec<u8>,
    against: Against,
    head: [Note; 1],
}

impl Sample {
    fn lines(&self) -> Vec<&[u8]> {
        self.text.split_inclusive(|byte| *byte == b'\n').collect()
    }

    /// What the verifier says of such a text, with the head file or without.
    fn verify(&self, text: &[u8], others: &[Note]) -> Result<Summary, VerifyError> {
        let mut chain = Chain::new(&self.against, others);
        take(text, &mut chain)?;
        chain.finish(Scope::All)
    }

    /// Whether the verifier passes a changed text as if it were whole.
    fn passes(&self, text: &[u8], others: &[Note]) -> bool {
        self.verify(text, others).is_ok_and(|summary| summary.is_anchored())
    }
}

fn take(text: &[u8], chain: &mut Chain<'_>) -> Result<(), VerifyError> {
    let mut lines = Lines::new(text);
    lines.take(chain, &mut |_| (), &mut |_| ()).map_err(|trouble| match trouble {
        Trouble::Wrong(error) => error,
        Trouble::Read(error) => panic!("{error}"),
    })?;
    lines.end(chain)
}

const LOG: &str = "0a1b2c3d";

fn sample() -> Sample {
    written(|_, _| ())
}

/// Writes it; `after` is told of each record.
fn written(mut after: impl FnMut(&mut Keeper, u64)) -> Sample {
    let directory = tempfile::tempdir().unwrap();
    let signer = Signer::load(directory.path()).unwrap();
    let public = signer.public().clone();
    let path = directory.path().join("audit.jsonl");
    let disk: Arc<dyn Disk> = Arc::new(System);
    let file = Arc::new(disk.create(&path).unwrap());
    let book = Arc::new(Mutex::new(Book::new(disk.clone(), file.clone())));
    let mut keeper = Keeper {
        disk,
        clock: Arc::new(ManualClock::default()),
        book: book.clone(),
        signer,
        name: Name {
            log: LOG.into(),
            policy: "test".into(),
            policy_hash: hex(&Sha256::digest("")),
            key: "0011223344556677".into(),
            signer: public.fingerprint(),
        },
        limits: Limits { bytes: u64::MAX, age: Duration::MAX },
        segment: Segment {
            file,
            path: path.clone(),
            room: Room::Unknown,
            until: Duration::MAX,
            stays: Duration::ZERO,
            looked: true,
        },
        retention: None,
        offset: Offset::of(&ManualClock::default()),
        tree: Tree::default(),
        last: Last::default(),
    };
    let put = |fact: Fact<'_>| {
        let mut book = book.lock().unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_225_600_000);
        let seq = book.append(time, &[fact]).unwrap();
        book.flush(seq).unwrap();
        seq
    };
    let Name { log, policy, policy_hash, key, signer } = &keeper.name.clone();
    let (version, policy_text) = ("0.1.0", "");
    put(Fact::Start(Start { log, version, policy, policy_hash, policy_text, key, signer, pid: 1 }));
    let mut seq = 0;
    while seq < 197 {
        let cause = format!("a line with \"quotes\" of number {seq}");
        seq = put(Fact::Frame(Frame { agent: "stdio:uid=1", code: -32600, cause: &cause, name: None, unlogged: 0 }));
        after(&mut keeper, seq);
        if seq % 40 == 39 {
            keeper.checkpoint().unwrap();
        }
    }
    put(Fact::Stop(Stop { reason: "end of input", calls: 0, unlogged: 0 }));
    book.lock().unwrap().end();
    assert!(keeper.checkpoint().unwrap().is_some());
    assert_eq!(keeper.checkpoint().unwrap(), None, "nothing is new, and nothing may follow the end");
    keeper.publish();
    let head = Note::parse(&std::fs::read_to_string(path.with_extension("head")).unwrap()).unwrap();
    let text = std::fs::read(&path).unwrap();
    Sample { directory, text, against: Against::key(public), head: [head] }
}

/// Every so manieth of many cases; all of them in a soak run.
#[expect(clippy::disallowed_methods, reason = "the counts of the soak run are chosen by the environment")]
fn step(quick: usize) -> usize {
    if std::env::var("PORTCULLIS_SOAK").is_ok_and(|value| !value.is_empty()) { 1 } else { quick }
}

#[test]
fn a_log_as_it_was_written_is_whole_and_anchored() {
    let sample = sample();
    let summary = sample.verify(&sample.text, &sample.head).unwrap();
    assert!(summary.is_anchored() && summary.stopped, "{summary:?}");
    assert_eq!((summary.records, summary.checkpoints, summary.held), (200, 5, Some(199)));
    let none = Against::default();
    let without = {
        let mut chain = Chain::new(&none, &[]);
        take(&sample.text, &mut chain).unwrap();
        chain.finish(Scope::All).unwrap()
    };
    assert!(!without.is_anchored() && without.signed == Signed::Unproven, "{without:?}");
}

#[test]
fn no_bit_of_a_log_can_be_flipped_unnoticed() {
    let sample = sample();
    let mut chain = Chain::new(&sample.against, &sample.head);
    let mut begin = 0;
    let mut number = 0;
    for line in sample.lines() {
        let rest = &sample.text[begin..];
        for bit in 0..line.len() * 8 {
            number += 1;
            if number % step(197) != 0 {
                continue;
            }
            let mut forged = rest.to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            // What stands before is as it was: the look begins at this line.
            let mut chain = chain.clone();
            let passed =
                take(&forged, &mut chain).is_ok() && chain.finish(Scope::All).is_ok_and(|found| found.is_anchored());
            assert!(!passed, "bit {bit} of {}", String::from_utf8_lossy(line));
        }
        take(line, &mut chain).unwrap();
        begin += line.len();
    }
}

#[test]
fn no_record_can_be_deleted_moved_repeated_or_put_in_unnoticed() {
    let sample = sample();
    let lines = sample.lines();
    let other = self::sample();
    for (at, &line) in lines.iter().enumerate().step_by(step(13)) {
        let (before, after) = (lines[..at].concat(), lines[at + 1..].concat());
        let elsewhere = other.lines()[at];
        let mut forgeries = vec![
            ("deleted", [&before[..], &after].concat()),
            ("repeated", [&before[..], line, line, &after].concat()),
            ("put in", [&before[..], lines[(at + 7) % lines.len()], line, &after].concat()),
            ("taken from another log", [&before[..], elsewhere, &after].concat()),
        ];
        if let Some(next) = lines.get(at + 1) {
            forgeries.push(("moved", [&before[..], next, line, &lines[at + 2..].concat()].concat()));
        }
        for (name, forged) in forgeries {
            assert_ne!(forged, sample.text, "{name}");
            assert!(!sample.passes(&forged, &sample.head), "record {at} {name}");
            assert!(!sample.passes(&forged, &[]), "record {at} {name}, without the head file");
        }
    }
}

#[test]
fn no_cut_passes_for_the_whole_log_unless_it_is_at_a_checkpoint_and_nothing_tells_of_more() {
    let sample = sample();
    let mut chain = Chain::new(&sample.against, &sample.head);
    let mut begin = 0;
    for line in sample.lines() {
        for cut in (0..line.len()).step_by(step(31)) {
            let mut chain = chain.clone();
            take(&line[..cut], &mut chain).unwrap();
            // What is there is good, and what is missing is missed: the head file tells of it, or a tail is named.
            match chain.finish(Scope::All) {
                Ok(found) => assert!(!found.is_anchored(), "at {}", begin + cut),
                Err(VerifyError::Cut { size: 199, .. }) => {}
                Err(error) => panic!("at {}: {error}", begin + cut),
            }
        }
        take(line, &mut chain).unwrap();
        begin += line.len();
    }
    // At a checkpoint, and with nothing to hold it against, the rest looks whole; that is what `verify` says.
    let forty = sample.lines()[..41].concat();
    assert!(sample.passes(&forty, &[]));
    assert!(matches!(sample.verify(&forty, &sample.head), Err(VerifyError::Cut { records: 41, size: 199 })));
}

/// The log with one word changed, every hash and every root made anew, and the checkpoints signed by `sign`.
fn rechained(sample: &Sample, sign: impl Fn(&Note, Checkpoint) -> Note) -> Vec<u8> {
    let (mut tree, mut prev, mut forged) = (Tree::default(), "0".repeat(64), Vec::new());
    for line in sample.lines() {
        let line = std::str::from_utf8(line).unwrap().trim_end();
        let mut line = line.replacen("of number 20", "of number 99", 1);
        line.replace_range(line.find("\"prev\":\"").unwrap() + 8..line.find("\",\"kind\"").unwrap(), &prev);
        if line.contains("\"kind\":\"checkpoint\"") {
            let record: serde_json::Value = serde_json::from_str(&line).unwrap();
            let old = Note::parse(record["note"].as_str().unwrap()).unwrap();
            let new = sign(&old, Checkpoint { root: tree.root(), ..old.checkpoint.clone() });
            line = line
                .replace(&serde_json::to_string(&old.text()).unwrap(), &serde_json::to_string(&new.text()).unwrap());
        }
        let hash = Sha256::digest(&line);
        prev = hex(&hash);
        tree.push(&hash);
        forged.extend_from_slice(line.as_bytes());
        forged.push(b'\n');
    }
    forged
}

#[test]
fn a_log_that_was_chained_anew_without_the_key_is_found() {
    let sample = sample();
    let kept = rechained(&sample, |old, checkpoint| Note { checkpoint, ..old.clone() });
    let found = sample.verify(&kept, &[]);
    assert!(matches!(found, Err(VerifyError::Record { line: 41, fault: Fault::Signature })), "{found:?}");

    let directory = tempfile::tempdir().unwrap();
    let other = Signer::load(directory.path()).unwrap();
    let own = rechained(&sample, |_, checkpoint| other.sign(checkpoint));
    let found = sample.verify(&own, &[]);
    assert!(matches!(found, Err(VerifyError::Record { line: 41, fault: Fault::Signature })), "{found:?}");
    // Who names the own key in the first record is asked where it comes from.
    let fingerprint = |key: &PublicKey| key.fingerprint();
    let named =
        String::from_utf8(own).unwrap().replace(&fingerprint(&sample.against.keys[0]), &fingerprint(other.public()));
    let found = sample.verify(named.as_bytes(), &[]);
    assert!(matches!(found, Err(VerifyError::Record { line: 1, fault: Fault::Signer { .. } })), "{found:?}");

    // Without checkpoints it is a log that nothing anchors, and not the one that the head file tells of.
    let bare: Vec<u8> = {
        let lines = sample.lines();
        lines[..39].concat()
    };
    assert!(!sample.passes(&bare, &[]));
    assert!(matches!(sample.verify(&bare, &sample.head), Err(VerifyError::Cut { .. })));
}

#[test]
fn a_log_other_than_the_one_that_a_kept_checkpoint_tells_of_is_found() {
    let sample = sample();
    let directory = tempfile::tempdir().unwrap();
    let thief = Signer::load(directory.path()).unwrap();
    let forged = rechained(&sample, |_, checkpoint| thief.sign(checkpoint));
    let keys = Against::key(thief.public().clone());
    let forged = String::from_utf8(forged)
        .unwrap()
        .replace(&sample.against.keys[0].fingerprint(), &thief.public().fingerprint());
    let mut chain = Chain::new(&keys, &sample.head);
    // The first record differs as well, so that the chain is broken behind it; a forger would mend that.
    assert!(take(forged.as_bytes(), &mut chain).is_err());
    let mut chain = Chain::new(&sample.against, &sample.head);
    let early =
        Note { checkpoint: Checkpoint { size: 40, ..sample.head[0].checkpoint.clone() }, ..sample.head[0].clone() };
    let early = [early];
    let mut held = Chain::new(&sample.against, &early);
    take(&sample.lines()[..39].concat(), &mut held).unwrap();
    let found = take(sample.lines()[39], &mut held);
    assert!(matches!(found, Err(VerifyError::Record { fault: Fault::Rewritten { size: 40 }, .. })), "{found:?}");
    take(&sample.text, &mut chain).unwrap();
}

/// The same in three files.
fn three_files() -> Sample {
    written(|keeper, seq| {
        if seq == 60 || seq == 130 {
            keeper.turn().unwrap();
        }
    })
}

fn all(sample: &Sample) -> Log {
    let [log] = &whole_logs(sample.directory.path()).unwrap()[..] else { panic!("one log") };
    log.clone()
}

#[test]
fn a_log_of_several_files_is_whole_and_so_is_each_file_alone() {
    let sample = three_files();
    let (log, against) = (all(&sample), &sample.against);
    assert_eq!(log.files().len(), 3);
    let summary = verify(&log, against, &mut |_| ()).unwrap();
    assert!(summary.is_anchored() && summary.stopped, "{summary:?}");
    assert_eq!((summary.first, summary.before.as_ref(), summary.next.as_ref()), (0, None, None));
    let mut records = 0;
    for (at, file) in log.files().iter().enumerate() {
        let alone = verify_file(file, against).unwrap();
        assert!(alone.is_anchored(), "{alone:?}");
        assert_eq!(alone.first, records, "{alone:?}");
        assert_eq!(alone.before.is_some(), at > 0, "{alone:?}");
        assert_eq!(alone.next.is_some(), at < 2, "{alone:?}");
        records += alone.records;
    }
    assert_eq!(records, summary.records);
}

#[test]
fn a_log_without_the_record_of_the_checkpoint_that_its_head_holds_is_cut() {
    let sample = sample();
    let lines = sample.lines();
    let short = lines[..lines.len() - 1].concat();
    let cut = sample.verify(&short, &sample.head);
    assert!(matches!(cut, Err(VerifyError::Cut { records: 199, size: 199 })), "{cut:?}");
    assert!(sample.verify(&short, &[]).is_ok_and(|found| !found.is_anchored()), "nothing tells of it");
    // The same of a file that was named alone, whose log goes on in another.
    let sample = three_files();
    let first = all(&sample).files()[0].clone();
    let text = std::fs::read_to_string(&first).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    std::fs::write(&first, lines[..lines.len() - 1].concat()).unwrap();
    assert!(matches!(verify_file(&first, &sample.against), Err(VerifyError::Cut { .. })));
}

#[test]
fn a_log_that_is_there_twice_is_a_doubt_that_names_both() {
    let sample = sample();
    let path = sample.directory.path();
    let whole = || verify_all(path, &mut |log| verify(log, &sample.against, &mut |_| ())).unwrap();
    assert!(whole().is_whole());
    let (one, other) = (path.join("audit.jsonl"), path.join("other.jsonl"));
    for link in [false, true] {
        match link {
            true => std::fs::hard_link(&one, &other).unwrap(),
            false => drop(std::fs::copy(&one, &other).unwrap()),
        }
        let whole = whole();
        let copies: Vec<_> = whole.copies().iter().map(|(one, other)| (one.path(), other.path())).collect();
        assert_eq!(copies, [(&*one, &*other)]);
        assert_eq!(whole.summaries().count(), 2, "each verifies");
        assert!(!whole.is_whole());
        std::fs::remove_file(&other).unwrap();
    }
    // Files that gateways had no time to write to are no copies.
    for name in ["a", "b"] {
        std::fs::write(path.join(format!("{name}.jsonl")), "").unwrap();
    }
    assert!(whole().is_whole());
}

#[test]
fn a_file_that_is_missing_or_exchanged_is_found() {
    let (sample, other) = (three_files(), three_files());
    let (log, against) = (all(&sample), &sample.against);
    let without = |gone: usize| {
        let (file, away) = (&log.files()[gone], sample.directory.path().join("away"));
        std::fs::rename(file, &away).unwrap();
        let found = verify(&all(&sample), against, &mut |_| ());
        std::fs::rename(&away, file).unwrap();
        found
    };
    let first = without(0).unwrap();
    let before = first.before.as_ref().expect("the reader is told");
    let end = std::fs::read(&log.files()[0]).unwrap();
    let end = end.strip_suffix(b"\n").unwrap().rsplit(|byte| *byte == b'\n').next().unwrap();
    assert_eq!((&before.file, &before.hash), (&segment::name(&log.files()[0]), &hex(&Sha256::digest(end))));
    let middle = without(1).unwrap_err();
    assert!(matches!(middle.error, VerifyError::Unnamed), "{middle}");
    let last = without(2).unwrap_err();
    assert!(matches!(last.error, VerifyError::Missing { .. }), "{last}");

    let [_, middle, last] = log.files() else { panic!("three files") };
    let (kept, head) = (std::fs::read(middle).unwrap(), segment::head(middle));
    for (name, forged) in
        [("another log's", std::fs::read(&all(&other).files()[1]).unwrap()), ("the last", std::fs::read(last).unwrap())]
    {
        std::fs::write(middle, forged).unwrap();
        assert!(verify(&log, against, &mut |_| ()).is_err(), "{name} in place of the middle one");
    }
    std::fs::write(middle, kept).unwrap();
    assert!(verify(&log, against, &mut |_| ()).is_ok(), "as it was");
    // A gateway that was stopped hard as it began a file leaves it empty; but here the head file tells of more.
    std::fs::write(last, "").unwrap();
    let cut = verify(&log, against, &mut |_| ()).unwrap_err();
    assert!(matches!(cut.error, VerifyError::Cut { .. }), "{cut}");
    std::fs::remove_file(head).unwrap();
    assert!(!verify(&log, against, &mut |_| ()).unwrap().stopped);
}

#[test]
fn no_bit_of_the_first_record_of_a_file_can_be_flipped_unnoticed() {
    let sample = three_files();
    let (log, against) = (all(&sample), &sample.against);
    let file = &log.files()[1];
    let text = std::fs::read(file).unwrap();
    let first = text.iter().position(|byte| *byte == b'\n').unwrap();
    for bit in (0..first * 8).step_by(step(37)) {
        let mut forged = text.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(file, forged).unwrap();
        assert!(verify_file(file, against).is_err(), "bit {bit}, the file alone");
        assert!(verify(&log, against, &mut |_| ()).is_err(), "bit {bit}, the whole log");
    }
}

#[test]
fn whatever_a_log_is_made_of_the_verifier_says_so_and_lives() {
    use proptest::prelude::*;
    let sample = sample();
    let length = sample.text.len();
    let run = |begin: usize, end: usize, put: &[u8]| {
        let (begin, end) = (begin % length, (begin % length + end).min(length));
        let forged = [&sample.text[..begin], put, &sample.text[end..]].concat();
        prop_assert!(forged == sample.text || !sample.passes(&forged, &sample.head));
        Ok(())
    };
    let json = "[ -~\\n]{0,40}|\\{\"v\":2,\"seq\":[0-9]{1,3},\"time\":\"[0-9TZ:.-]{24}\",\"prev\":\"[0-9a-f]{64}\",\"kind\":\"[a-z]{4,9}\"\\}\n";
    let strategy = (any::<prop::sample::Index>(), 0..400_usize, json);
    proptest!(|((at, cut, put) in strategy)| run(at.index(length), cut, put.as_bytes())?);
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    proptest!(|((at, cut, put) in (any::<prop::sample::Index>(), 0..4_usize, noise))| run(at.index(length), cut, &put)?);
}

/// What a reader is told of a log line by line, and what it finds in the end.
fn lines_of(log: &Log, against: &Against) -> (Vec<u64>, Result<Summary, Broken>) {
    let mut seen = Vec::new();
    let found = verify_lines(log, against, &mut |_| (), &mut |_, line| seen.push(sequence(line).unwrap()));
    (seen, found)
}

#[test]
fn files_that_are_begun_or_deleted_while_a_log_is_read_are_no_fault() {
    let sample = three_files();
    let log = all(&sample);
    // The list was made before the log turned to its last file, of which the head already tells.
    let [first, middle, _] = log.files() else { panic!("three files") };
    let listed = Log { files: vec![first.clone(), middle.clone()], ..log.clone() };
    let (seen, found) = lines_of(&listed, &sample.against);
    let whole = found.unwrap();
    assert!(whole.stopped && whole.is_anchored(), "{whole:?}");
    assert_eq!(seen, (0..whole.records).collect::<Vec<_>>(), "each line once");
    // The list was made before the first file was deleted.
    let first = first.clone();
    std::fs::remove_file(&first).unwrap();
    let (seen, found) = lines_of(&log, &sample.against);
    let rest = found.unwrap();
    assert_eq!(rest.before.as_ref().map(|before| &before.file), Some(&segment::name(&first)));
    assert_eq!(seen, (rest.first..whole.records).collect::<Vec<_>>());
    // And one that is gone without a trace stays gone.
    std::fs::remove_file(&log.files()[2]).unwrap();
    assert!(matches!(lines_of(&log, &sample.against).1.unwrap_err().error, VerifyError::Missing { .. }));
}

#[test]
fn a_directory_that_changes_while_it_is_read_is_looked_at_again_and_not_for_ever() {
    let sample = three_files();
    let log = all(&sample);
    let (first, away) = (&log.files()[0], sample.directory.path().join("away"));
    std::fs::rename(first, &away).unwrap();
    // It comes back after the first look, in which it was missing.
    let mut looks = 0;
    let whole = verify_all(sample.directory.path(), &mut |log| {
        let found = verify(log, &sample.against, &mut |_| ());
        if looks == 0 {
            std::fs::rename(&away, first).unwrap();
        }
        looks += 1;
        found
    });
    assert!(whole.unwrap().is_whole());
    assert_eq!(looks, 2);
    // One that is missing for good is looked for once, one in a directory that never rests so often and no more.
    for (restless, expected) in [(false, 1), (true, TRIES)] {
        std::fs::remove_file(first).ok();
        let mut looks = 0;
        let whole = verify_all(sample.directory.path(), &mut |log| {
            if log.path().extension().is_some_and(|_| log.files().len() == 2) {
                looks += 1;
                if restless {
                    std::fs::write(sample.directory.path().join(format!("other-{looks}.jsonl")), "").unwrap();
                }
                return verify(log, &sample.against, &mut |_| ());
            }
            Ok(Summary::default())
        });
        assert!(!whole.unwrap().is_whole());
        assert_eq!(looks, expected);
    }
}

#[test]
fn a_log_that_is_followed_goes_on_in_its_next_file_when_one_before_is_deleted() {
    let sample = three_files();
    let log = all(&sample);
    let [first, middle, last] = log.files() else { panic!("three files") };
    let listed = |files: &[&PathBuf]| Log { files: files.iter().map(|file| (*file).clone()).collect(), ..log.clone() };
    let mut reader = Reader::following(listed(&[first]), &sample.against);
    let mut seen = Vec::new();
    let mut take = |reader: &mut Reader<'_>| {
        reader.advance(&mut |_| (), &mut |_, line| seen.push(sequence(line).unwrap())).unwrap();
    };
    take(&mut reader);
    reader.extend(listed(&[first, middle]));
    take(&mut reader);
    // The first is deleted as the last is begun: there are as many files as before.
    let now = listed(&[middle, last]);
    assert!(reader.reads(&now), "it is the same log");
    reader.extend(now);
    take(&mut reader);
    // The one that is being read is deleted as well.
    reader.extend(listed(&[last]));
    take(&mut reader);
    reader.hand_on_last(&mut |_, line| seen.push(sequence(line).unwrap()));
    assert_eq!(seen, (0..200).chain(200..seen.len() as u64).collect::<Vec<_>>());
    let whole = verify(&log, &sample.against, &mut |_| ()).unwrap();
    assert_eq!(seen.len() as u64, whole.records);
}

#[test]
fn what_stands_behind_an_end_in_order_is_found_even_without_a_line_end() {
    let sample = sample();
    for junk in ["x", "{\"v\":2,\"seq\":200", "\0\0\0\0", "x\n"] {
        let forged = [&sample.text[..], junk.as_bytes()].concat();
        assert!(sample.verify(&forged, &sample.head).is_err(), "{junk:?}");
    }
    let [.., stop, checkpoint] = &sample.lines()[..] else { panic!("an end") };
    assert!(stop.windows(6).any(|part| part == b"\"stop\""));
    let half = &sample.text[..sample.text.len() - checkpoint.len() / 2];
    assert!(
        sample.verify(half, &[]).is_ok_and(|found| found.torn_tail > 0),
        "half a checkpoint is what a hard stop leaves"
    );
    // So it is behind each file of several.
    let sample = three_files();
    let log = all(&sample);
    let mut text = std::fs::read(&log.files()[0]).unwrap();
    text.extend_from_slice(b"x");
    std::fs::write(&log.files()[0], text).unwrap();
    let found = verify(&log, &sample.against, &mut |_| ()).unwrap_err();
    assert!(matches!(found.error, VerifyError::Record { fault: Fault::AfterEnd, .. }), "{found}");
}

#[test]
fn a_log_that_was_renamed_or_lies_beside_another_ones_head_is_found() {
    let sample = sample();
    let log = sample.directory.path().join("audit.jsonl");
    let (head, other) = (log.with_extension("head"), log.with_file_name("other.jsonl"));
    assert!(
        verify_all(sample.directory.path(), &mut |log| verify(log, &sample.against, &mut |_| ())).unwrap().is_whole()
    );
    std::fs::rename(&log, &other).unwrap();
    let found = verify_file(&other, &sample.against).unwrap_err();
    assert!(matches!(&found, VerifyError::Renamed { head: stray } if *stray == head), "{found}");
    let whole = verify_all(sample.directory.path(), &mut |log| verify(log, &sample.against, &mut |_| ())).unwrap();
    assert!(!whole.is_whole() && whole.strays == [head.clone()], "{whole:?}");
    // Without its log a head is a doubt of its own.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::rename(&other, elsewhere.path().join("audit.jsonl")).unwrap();
    std::fs::write(&other, "").unwrap();
    let whole = verify_all(sample.directory.path(), &mut |log| verify(log, &sample.against, &mut |_| ())).unwrap();
    assert!(whole.logs.iter().all(|found| found.result.is_ok()) && !whole.is_whole(), "{whole:?}");
    // A copy without any head is what it is.
    let copy = elsewhere.path().join("audit.jsonl");
    assert!(verify_file(&copy, &sample.against).is_ok());
    let foreign = sample.head[0].text().replace(LOG, "0a1b2c3e");
    std::fs::write(elsewhere.path().join("audit.head"), foreign).unwrap();
    let found = verify_file(&copy, &sample.against).unwrap_err();
    assert!(matches!(found, VerifyError::OtherHead { .. }), "{found}");
}

#[test]
fn a_head_or_a_key_that_others_may_write_is_refused_with_the_command_to_type() {
    use std::os::unix::fs::PermissionsExt;
    let sample = sample();
    let directory = sample.directory.path();
    let open = |name: &str, mode| {
        std::fs::set_permissions(directory.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let log = directory.join("audit.jsonl");
    open("audit.head", 0o666);
    let found = verify_file(&log, &sample.against).unwrap_err();
    assert!(matches!(found, VerifyError::Trust(_)) && found.to_string().contains("chmod go-w"), "{found}");
    open("audit.head", 0o644);
    verify_file(&log, &sample.against).unwrap();
    open("checkpoint.pub", 0o602);
    let found = Against::keys(&[], directory).unwrap_err();
    assert!(matches!(found, VerifyError::Trust(_)) && found.to_string().contains("chmod go-w"), "{found}");
    // Where a person names it, it is theirs to say.
    assert!(Against::keys(&[directory.join("checkpoint.pub")], directory).is_ok());
}

#[test]
fn pipes_links_and_devices_in_the_place_of_any_file_are_faults_and_hold_nobody_up() {
    use rustix::fs::{CWD, FileType, mknodat};
    let sample = sample();
    let directory = sample.directory.path();
    let log = directory.join("audit.jsonl");
    for name in ["audit.head", "checkpoint.pub", "audit.jsonl"] {
        let (path, kept) = (directory.join(name), directory.join("kept"));
        std::fs::rename(&path, &kept).unwrap();
        let refused = |what: &str| {
            let against = Against::keys(&[], directory);
            let whole = verify_all(directory, &mut |log| verify(log, &sample.against, &mut |_| ()));
            assert!(against.is_err() || whole.is_err() || !whole.unwrap().is_whole(), "{what} as {name}");
        };
        mknodat(CWD, &path, FileType::Fifo, 0o600.into(), 0).unwrap();
        refused("a pipe");
        for target in [kept.as_path(), Path::new("/dev/null"), Path::new("/dev/zero")] {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink(target, &path).unwrap();
            refused("a link");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&kept, &path).unwrap();
    }
    for path in ["/dev/null", "/dev/zero"] {
        assert!(whole_logs(Path::new(path)).is_err(), "{path}");
    }
    let link = directory.join("link");
    std::os::unix::fs::symlink(&log, &link).unwrap();
    assert!(whole_logs(&link).is_err(), "a link has no head beside it");
    // More than a checkpoint is long is none.
    std::fs::write(directory.join("audit.head"), vec![b'x'; 1 << 20]).unwrap();
    assert!(verify_file(&log, &sample.against).is_err());
}

/// Three files, the last of which says that the first was deleted, `changed` perhaps.
fn retiring(changed: impl Fn(String) -> String) -> Sample {
    written(|keeper, seq| {
        if seq == 60 || seq == 130 {
            keeper.turn().unwrap();
        }
        if seq == 145 {
            let first = segment::first(&keeper.segment.path).0;
            let text = std::fs::read(&first).unwrap();
            let end = text.strip_suffix(b"\n").unwrap().rsplit(|byte| *byte == b'\n').next().unwrap();
            let (file, hash) = (segment::name(&first), changed(hex(&Sha256::digest(end))));
            let mut book = keeper.book.lock().unwrap();
            let fact = Fact::Retired { file: &file, size: text.len() as u64, hash: &hash };
            let seq = book.append(SystemTime::UNIX_EPOCH, &[fact]).unwrap();
            book.flush(seq).unwrap();
        }
    })
}

#[test]
fn a_missing_file_is_explained_by_a_record_under_a_signed_checkpoint_that_names_its_very_end_and_by_nothing_else() {
    let is_whole = |sample: &Sample, against: &Against| {
        let look = &mut |log: &Log| verify(log, against, &mut |_| ());
        let whole = verify_all(sample.directory.path(), look).unwrap();
        assert!(whole.logs.iter().all(|found| found.result.is_ok()), "{whole:?}");
        whole.is_whole()
    };
    let without_the_first = |sample: &Sample| std::fs::remove_file(&all(sample).files()[0]).unwrap();
    let sample = retiring(|hash| hash);
    without_the_first(&sample);
    assert!(is_whole(&sample, &sample.against));
    assert!(!is_whole(&sample, &Against::default()), "without a key nobody signed anything");
    // Whoever has no key can put in a record that nothing signs yet.
    let [_, last] = &all(&sample).files().to_vec()[..] else { panic!("two files") };
    let text = std::fs::read_to_string(last).unwrap();
    let (before, after) = text.split_once("\"kind\":\"retired\"").unwrap();
    let (after, _) = after.split_once('\n').unwrap();
    std::fs::write(last, format!("{before}\"kind\":\"retired\"{after}\n")).unwrap();
    std::fs::remove_file(segment::head(last)).unwrap();
    assert!(!is_whole(&sample, &sample.against), "no checkpoint covers it");
    // A record of another file's end, which had the same name.
    let sample = retiring(|hash| hash.chars().rev().collect());
    without_the_first(&sample);
    assert!(!is_whole(&sample, &sample.against), "another end");
}
