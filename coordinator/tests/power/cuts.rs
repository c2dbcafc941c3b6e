//! Power cuts: whatever was said to be committed is there, whole, and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

use bioxen_coordinator::journal::Position;
use bioxen_coordinator::ledger::Ledger;

use crate::disk::Event;
use crate::model::{Disk, Random};
use crate::work::{rows_at, work, write_after};

const ROUNDS: u64 = 200;
/// Cuts that one ledger goes through before another is begun.
const LIVES: u64 = 10;
/// Of one ledger; the first creates it.
const OPENINGS: u64 = 3;
/// In which a cut at one place may leave the disk.
const STATES: u64 = 6;

#[test]
fn a_ledger_survives_two_hundred_power_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = folder.path().join("new");
    let (mut lost, mut commits) = (0, 0);
    for round in 0..ROUNDS {
        if round % LIVES == 0 {
            before = folder.path().join(format!("new-{round}"));
        }
        let after = folder.path().join(round.to_string());
        std::fs::create_dir_all(&before).unwrap();
        let index = index_in(&before);
        let before_work = Disk::of(&before.canonicalize().unwrap());
        let (events, _) = work(&before, None);
        let mut random = Random::new(round);
        let cut = usize::try_from(random.below(events.len() as u64 + 1)).unwrap();
        let expected = Expected::of(index, &events[..cut]);
        commits += expected.committed - index;
        power_cut(before_work, &events[..cut], &mut random, &before, &after);
        lost += expected.most() - expected.check(&after, round);
        before = after;
    }
    println!(
        "{ROUNDS} power cuts: none unopenable, none wrong; {commits} writes kept, {lost} begun and lost"
    );
    assert!(lost > 0 && commits > ROUNDS, "the cuts cut nothing");
}

#[test]
fn a_ledger_opens_wherever_its_creation_or_opening_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    let (mut index, mut cuts) = (0, 0);
    for life in 0..OPENINGS {
        std::fs::create_dir_all(&own).unwrap();
        let before_work = Disk::of(&own.canonicalize().unwrap());
        let (events, _) = work(&own, None);
        let opened = events.iter().position(|event| matches!(event, Event::Begun { .. })).unwrap();
        for cut in 0..=opened {
            for state in 0..STATES {
                cuts += 1;
                let after = folder.path().join(format!("{life}-{cut}-{state}"));
                let mut random = Random::new(cuts);
                power_cut(before_work.clone(), &events[..cut], &mut random, &own, &after);
                Expected::of(index, &events[..cut]).check(&after, cuts);
            }
        }
        index = Expected::of(index, &events).committed;
    }
    println!("{OPENINGS} openings, {cuts} power cuts: none unopenable, none wrong");
}

/// Where a ledger stands; 0 where there is none yet.
fn index_in(folder: &Path) -> u64 {
    if !folder.join("db").exists() {
        return 0;
    }
    Ledger::open(folder).unwrap().applied().map_or(0, |applied| applied.index)
}

pub(crate) fn power_cut(mut disk: Disk, events: &[Event], random: &mut Random, from: &Path, to: &Path) {
    for event in events {
        disk.happen(event, random);
    }
    std::fs::create_dir_all(to).unwrap();
    disk.cut(random, &from.canonicalize().unwrap(), to);
}

/// What may stand after a cut.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) committed: u64,
    /// The ends of all commits begun, and where it stood before.
    ends: BTreeSet<u64>,
}

impl Expected {
    pub(crate) fn of(start: u64, events: &[Event]) -> Self {
        let mut expected = Self { committed: start, ends: BTreeSet::from([start]) };
        for event in events {
            match event {
                Event::Begun { index } => drop(expected.ends.insert(*index)),
                Event::Committed { index } => expected.committed = *index,
                _ => {}
            }
        }
        expected
    }

    fn most(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// Opens what is left; where it stands.
    pub(crate) fn check(&self, folder: &Path, round: u64) -> u64 {
        let ledger = Ledger::open(folder).unwrap_or_else(|error| {
            let files = std::fs::read_dir(folder).unwrap().flatten();
            let files: Vec<_> =
                files.map(|file| (file.file_name(), file.metadata().unwrap().len())).collect();
            panic!("round {round}: unopenable: {error}; of {files:?}")
        });
        let index = ledger.applied().map_or(0, |applied| applied.index);
        let committed = self.committed;
        assert!(index >= committed, "round {round}: {committed} was committed, and {index} is left");
        assert!(self.ends.contains(&index), "round {round}: {index} is left, of {:?}", self.ends);
        let rows: Vec<_> = ledger.rows().collect::<Result<_, _>>().unwrap();
        assert!(rows == rows_at(index), "round {round}: other rows than those of {index}");
        let batches = ledger.batches_after(0).unwrap();
        let mut position = Position::START;
        for batch in &batches {
            let (_, next) = write_after(&position);
            assert_eq!((batch.last_index, batch.hash), (next.index, next.hash), "round {round}");
            position = next;
        }
        assert_eq!(position.index, index, "round {round}: batches are missing");
        let verified = ledger.verify();
        assert!(verified.faults.is_empty(), "round {round}: {:?}", verified.faults);
        index
    }
}
