//! What the ledger is given to do: writes that follow from their index alone, so that it is known what must stand after
//! any of them; and the child process that does it on a watched disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};

use bioxen_coordinator::fleet::entry::Entry;
use bioxen_coordinator::journal::Position;
use bioxen_coordinator::journal::batch::{Batch, FORMAT};
use bioxen_coordinator::ledger::{Ledger, LedgerWrite, RowKey};

use crate::disk::{self, Event, Failing};
use crate::model::Random;

const COMMITS: u64 = 12;
const NAMES: u64 = 60;
/// Most rows are small, some fill many pieces.
const SMALL_BYTES: u64 = 900;
const LARGE_BYTES: u64 = 40_000;
/// A commit that failed is tried again as often.
const TRIES: usize = 3;

type Row = (RowKey, Option<Vec<u8>>);

/// The write behind `position`, and the position behind it.
pub(crate) fn write_after(position: &Position) -> (LedgerWrite, Position) {
    let index = position.index + 1;
    let batch = Batch {
        format: FORMAT,
        fleet: "lab".to_owned(),
        incarnation: 1,
        epoch: 1,
        first_index: index,
        time_ms: index,
        previous_hash: position.hash,
        submit_sequence: 0,
        entries: vec![Entry::Leader { epoch: 1, coordinator: format!("c{index}") }],
    };
    let (payload, hash) = batch.encode().unwrap();
    let write = LedgerWrite::new(&batch, index, hash, payload, rows_of(index));
    (write, Position { sequence: index, index, hash })
}

fn rows_of(index: u64) -> Vec<Row> {
    let mut random = Random::new(index);
    let mut rows = BTreeMap::new();
    for _ in 0..=random.below(4) {
        let name = format!("{:03}", random.below(NAMES));
        let most = if random.below(8) == 0 { LARGE_BYTES } else { SMALL_BYTES };
        let bytes = usize::try_from(random.below(most)).unwrap();
        let mark = u8::try_from(random.below(251)).unwrap();
        let value = (random.below(6) > 0).then(|| vec![mark; bytes]);
        rows.insert(name, value);
    }
    rows.into_iter().map(|(vm, value)| (RowKey::Vm { user: "alice".to_owned(), vm }, value)).collect()
}

/// Every row after the write with this index.
pub(crate) fn rows_at(index: u64) -> Vec<(RowKey, Vec<u8>)> {
    let mut rows = BTreeMap::new();
    for (key, value) in (1..=index).flat_map(rows_of) {
        let RowKey::Vm { vm, .. } = &key else { continue };
        match value {
            Some(value) => drop(rows.insert(vm.clone(), (key, value))),
            None => drop(rows.remove(vm)),
        }
    }
    rows.into_values().collect()
}

/// Has a child work on the ledger in `folder`; what its disk did, and what it said.
pub(crate) fn work(folder: &Path, failing: Option<Failing>) -> (Vec<Event>, String) {
    std::fs::create_dir_all(folder).unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "work::in_a_child", "--nocapture"]);
    child.env("BIOXEN_TEST_FOLDER", folder).env("BIOXEN_TEST_LOG", log.path());
    if let Some(Failing { writes, first, count, errno }) = failing {
        child.env("BIOXEN_TEST_FAILING", format!("{writes} {first} {count} {errno}"));
    }
    let told = child.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(told.status.success(), "{said}");
    (disk::events(&std::fs::read(log.path()).unwrap()), said)
}

#[test]
#[ignore = "runs as a child on a watched disk"]
fn in_a_child() {
    let Some(folder) = std::env::var_os("BIOXEN_TEST_FOLDER") else { return };
    let log = File::options().append(true).open(std::env::var_os("BIOXEN_TEST_LOG").unwrap()).unwrap();
    disk::watch(
        Path::new(&folder),
        log,
        std::env::var("BIOXEN_TEST_FAILING").ok().map(|text| failing(&text)),
    );
    let ledger = match Ledger::open(Path::new(&folder)) {
        Ok(ledger) => ledger,
        Err(error) => return println!("refused: {error}"),
    };
    // sled asserts on an error also when it is closed.
    if catch_unwind(AssertUnwindSafe(|| fill(ledger))).is_err() {
        println!("refused: by a panic at its end");
    }
}

fn fill(mut ledger: Ledger) {
    let mut position = ledger.applied().map_or(Position::START, |applied| applied.position());
    for number in 0..COMMITS {
        let mut writes = Vec::new();
        for _ in 0..=number % 3 {
            let (write, next) = write_after(&position);
            writes.push(write);
            position = next;
        }
        disk::note(&Event::Begun { index: position.index });
        if !commit(&mut ledger, &writes) {
            return;
        }
        disk::note(&Event::Committed { index: position.index });
    }
}

/// As a caller would who believes that an error may pass.
fn commit(ledger: &mut Ledger, writes: &[LedgerWrite]) -> bool {
    for _ in 0..TRIES {
        match catch_unwind(AssertUnwindSafe(|| ledger.commit(writes))) {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => println!("refused: {error}"),
            Err(_) => println!("refused: by a panic"),
        }
    }
    false
}

fn failing(text: &str) -> Failing {
    let mut words = text.split(' ');
    let writes = words.next() == Some("true");
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    Failing { writes, first: number(), count: number(), errno: i32::try_from(number()).unwrap() }
}
