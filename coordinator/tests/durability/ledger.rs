//! The ledger on a real disk: all or nothing, synced, and honest about damage.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bioxen_coordinator::journal::Position;
use bioxen_coordinator::ledger::{Committer, Ledger, LedgerError, LedgerWrite, RowKey};

use crate::support::batch_after;

type Rows = Vec<(RowKey, Option<Vec<u8>>)>;

/// The write that follows a position, and the position behind it.
pub(crate) fn write_after(position: &Position, text: &str, rows: Rows) -> (LedgerWrite, Position) {
    let batch = batch_after(position, &[text]);
    let (payload, hash) = batch.encode().unwrap();
    let sequence = position.sequence + 1;
    let write = LedgerWrite::new(&batch, sequence, hash, payload, rows);
    (write, Position { sequence, index: batch.last_index(), hash })
}

fn vm(name: &str) -> RowKey {
    RowKey::Vm { user: "alice".to_owned(), vm: name.to_owned() }
}

fn put(name: &str, value: &[u8]) -> (RowKey, Option<Vec<u8>>) {
    (vm(name), Some(value.to_vec()))
}

fn rows(ledger: &Ledger) -> Vec<(RowKey, Vec<u8>)> {
    ledger.rows().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_was_committed_is_there_when_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.applied(), None);
    let (first, position) = write_after(&Position::START, "one", vec![put("a", b"1"), put("b", b"2")]);
    let (second, position) = write_after(&position, "two", vec![put("a", b"3"), (vm("b"), None)]);
    ledger.commit(&[first.clone(), second.clone()]).unwrap();
    drop(ledger);

    let ledger = Ledger::open_existing(&path).unwrap();
    assert_eq!(ledger.applied().unwrap().position(), position);
    assert_eq!(rows(&ledger), [(vm("a"), b"3".to_vec())]);
    let batches = ledger.batches_after(0).unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!((&batches[0].payload, &batches[1].payload), (&first.payload, &second.payload));
    assert_eq!((batches[1].previous_hash, batches[1].hash), (batches[0].hash, position.hash));
    assert_eq!(ledger.batches_after(1).unwrap(), batches[1..]);
    let verified = ledger.verify();
    assert!(verified.faults.is_empty(), "{:?}", verified.faults);
    assert_eq!((verified.rows, verified.batches), (1, 2));
}

#[test]
fn rows_grow_shrink_and_vanish_across_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let mut position = Position::START;
    for bytes in [10, 20_000, 4_082, 4_083, 300_000, 0, 9_000] {
        let value = vec![u8::try_from(bytes % 251).unwrap(); bytes];
        let (write, next) = write_after(&position, "step", vec![put("a", &value), put("aa", b"beside")]);
        ledger.commit(&[write]).unwrap();
        assert_eq!(rows(&ledger), [(vm("a"), value), (vm("aa"), b"beside".to_vec())], "{bytes} bytes");
        position = next;
    }
    let (write, _) = write_after(&position, "end", vec![(vm("a"), None), (vm("never"), None)]);
    ledger.commit(&[write]).unwrap();
    assert_eq!(rows(&ledger), [(vm("aa"), b"beside".to_vec())]);
    assert_eq!(std::fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
}

#[test]
fn a_batch_left_out_is_refused_and_nothing_is_written_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let (first, position) = write_after(&Position::START, "one", Vec::new());
    let (second, position) = write_after(&position, "two", Vec::new());
    let (third, _) = write_after(&position, "three", Vec::new());
    ledger.commit(&[first]).unwrap();
    let error = ledger.commit(&[third]).unwrap_err();
    assert!(matches!(error, LedgerError::OutOfOrder { expected: 2, found: 3 }), "{error}");
    assert!(matches!(ledger.commit(&[second]), Err(LedgerError::Broken)));
}

#[test]
fn a_ledger_belongs_to_one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Ledger::open_existing(directory.path()).unwrap_err();
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing}");
    let ledger = Ledger::open(directory.path()).unwrap();
    let error = Ledger::open(directory.path()).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
    assert!(bioxen_coordinator::ledger::set_aside(directory.path()).is_err());
    drop(ledger);
    Ledger::open(directory.path()).unwrap();
}

#[test]
fn a_flipped_byte_is_reported_by_its_row_and_the_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3);
    alter(directory.path(), "vm-001", |piece| piece[20] ^= 0x10);
    let ledger = Ledger::open(directory.path()).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = ledger.rows().partition(Result::is_ok);
    assert_eq!(good.len(), 2);
    let error = bad.into_iter().next().unwrap().unwrap_err();
    let LedgerError::DamagedRow { key, .. } = &error else { panic!("{error}") };
    assert_eq!(key, "vm alice/vm-001");
    assert_eq!(ledger.verify().faults.len(), 1);
}

#[test]
fn a_row_that_vanished_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path(), 3);
    let db = beneath(directory.path());
    let (key, _) = db.iter().flatten().find(|(key, _)| contains(key, b"vm-002")).unwrap();
    db.remove(key).unwrap();
    drop(db);
    let ledger = Ledger::open(directory.path()).unwrap();
    let faults: Vec<_> = ledger.rows().filter_map(Result::err).collect();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().contains("2 rows, other than the 3"), "{}", faults[0]);
}

#[test]
fn a_damaged_file_is_never_read_as_if_it_were_whole() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    fill(&whole, 40);
    let bytes = std::fs::read(whole.join("db")).unwrap();
    let expected = rows(&Ledger::open(&whole).unwrap());
    let ends = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    for number in 0..24 {
        let path = directory.path().join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        std::fs::copy(whole.join("conf"), path.join("conf")).unwrap();
        let mut flipped = bytes.clone();
        flipped[ends * number / 24] ^= 0x04;
        std::fs::write(path.join("db"), flipped).unwrap();
        let Ok(ledger) = Ledger::open(&path) else { continue };
        let verified = ledger.verify();
        if verified.faults.is_empty() {
            // What sled cut off is an older state, and a whole one: the journal's tail brings it up.
            let found = rows(&ledger);
            let index = ledger.applied().map_or(0, |applied| applied.index);
            assert_eq!(found.len() as u64, index, "flip {number}");
            assert!(expected.starts_with(&found), "flip {number}");
        }
    }
}

#[test]
fn a_snapshot_is_restored_into_an_empty_ledger_only() {
    let directory = tempfile::tempdir().unwrap();
    let (write, position) = write_after(&Position::START, "one", Vec::new());
    let (next, _) = write_after(&position, "two", vec![put("b", b"2")]);
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let snapshot = vec![(vm("a"), vec![1; 10_000]), (RowKey::Meta("epoch".to_owned()), vec![2])];
    ledger.restore(&write.applied, snapshot.clone()).unwrap();
    assert!(matches!(ledger.restore(&write.applied, snapshot), Err(LedgerError::NotEmpty { .. })));
    ledger.commit(&[next]).unwrap();
    drop(ledger);
    let ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(rows(&ledger).len(), 3);
    assert_eq!(ledger.batches_after(0).unwrap().len(), 1);
    assert!(ledger.verify().faults.is_empty());
}

#[test]
fn only_the_newest_batches_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let text = "x".repeat(70 * 1024);
    let mut position = Position::START;
    let mut writes = Vec::new();
    for _ in 0..960 {
        let (write, next) = write_after(&position, &text, Vec::new());
        writes.push(write);
        position = next;
    }
    writes.chunks(64).for_each(|writes| ledger.commit(writes).unwrap());
    drop(ledger);
    let ledger = Ledger::open(directory.path()).unwrap();
    let kept = ledger.batches_after(0).unwrap();
    let bytes: usize = kept.iter().map(|batch| batch.payload.len()).sum();
    assert!((63 << 20..=64 << 20).contains(&bytes), "{bytes}");
    assert_eq!(kept.last().unwrap().hash, position.hash);
    assert!(ledger.verify().faults.is_empty());
}

#[tokio::test]
async fn the_committer_writes_what_it_was_given_before_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (committer, mut fatal) = Committer::start(Ledger::open(directory.path()).unwrap()).unwrap();
    let mut applied = committer.applied();
    let mut position = Position::START;
    for number in 0..500 {
        let (write, next) = write_after(&position, "w", vec![put(&format!("{number:04}"), b"v")]);
        committer.submit(write).await.unwrap();
        position = next;
    }
    applied.wait_for(|applied| applied.as_ref().is_some_and(|applied| applied.index == 500)).await.unwrap();
    let ledger = committer.close().await.unwrap();
    assert!(fatal.try_recv().is_err());
    assert_eq!(ledger.applied().unwrap().position(), position);
    assert_eq!(rows(&ledger).len(), 500);
}

#[tokio::test]
async fn the_committer_reports_what_ended_it_and_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let (committer, fatal) = Committer::start(Ledger::open(directory.path()).unwrap()).unwrap();
    let (first, position) = write_after(&Position::START, "one", Vec::new());
    let (second, position) = write_after(&position, "two", Vec::new());
    let (third, _) = write_after(&position, "three", Vec::new());
    committer.submit(first).await.unwrap();
    committer.submit(third).await.unwrap();
    assert!(matches!(fatal.await.unwrap(), LedgerError::OutOfOrder { .. }));
    // The error is told first, so that whoever is refused finds it; the thread's end follows at once.
    let refused = loop {
        match committer.submit(second.clone()).await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LedgerError::Ended));
    assert!(matches!(committer.close().await, Err(LedgerError::Ended)));
}

#[test]
fn what_a_killed_process_said_was_committed_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "ledger::commit_until_killed", "--nocapture"])
            .env("LEDGER_UNDER_TEST", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ")?.parse::<u64>().ok());
        let enough = said.by_ref().nth(50 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        let last = said.last().or(enough).expect("the child commits");
        let ledger = Ledger::open(directory.path()).unwrap();
        let index = ledger.applied().unwrap().index;
        assert!(index >= last, "said {last}, found {index}");
        let verified = ledger.verify();
        assert!(verified.faults.is_empty(), "{:?}", verified.faults);
        assert_eq!((verified.rows, verified.batches), (index, index));
    }
}

#[test]
#[ignore = "runs as the child that is killed"]
fn commit_until_killed() {
    let Some(path) = std::env::var_os("LEDGER_UNDER_TEST") else { return };
    let mut ledger = Ledger::open(Path::new(&path)).unwrap();
    let mut position = ledger.applied().map_or(Position::START, |applied| applied.position());
    loop {
        let name = format!("{:06}", position.index);
        let (write, next) = write_after(&position, "w", vec![put(&name, &[7; 5000])]);
        ledger.commit(&[write]).unwrap();
        println!("committed {}", next.index);
        position = next;
    }
}

fn fill(path: &Path, count: usize) {
    let mut ledger = Ledger::open(path).unwrap();
    let mut position = Position::START;
    for number in 0..count {
        let (write, next) = write_after(&position, "fill", vec![put(&format!("vm-{number:03}"), &[7; 100])]);
        ledger.commit(&[write]).unwrap();
        position = next;
    }
}

/// sled's own store, as soon as it is free: a child that another test has just forked has its lock until it is another
/// program.
fn beneath(path: &Path) -> sled::Db {
    let started = Instant::now();
    loop {
        match sled::open(path) {
            Ok(db) => return db,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Changes a stored piece as a failing disk would, beneath the ledger.
fn alter(path: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let db = beneath(path);
    let (key, piece) = db.iter().flatten().find(|(key, _)| contains(key, name.as_bytes())).unwrap();
    let mut piece = piece.to_vec();
    change(&mut piece);
    db.insert(key, piece).unwrap();
}

fn contains(key: &[u8], name: &[u8]) -> bool {
    key.windows(name.len()).any(|window| window == name)
}
