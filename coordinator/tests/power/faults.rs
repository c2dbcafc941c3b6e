//! A disk that fails or has no room: the ledger says so, commits nothing more, and has kept what it committed.

use crate::cuts::{Expected, power_cut};
use crate::disk::{Event, Failing};
use crate::model::{Disk, Random};
use crate::work::work;

/// Where the failing call lies; the first are those of its creation.
const CALLS: std::ops::Range<u64> = 1..40;

/// Works on a ledger whose disk fails, cuts the power, and opens what is left; what the child said, where it was refused.
fn after(name: &str, failing: Failing) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    std::fs::create_dir_all(&before).unwrap();
    let (events, said) = work(&before, Some(failing));
    let mut random = Random::new(failing.first);
    let expected = Expected::of(0, &events);
    let committed = |event: &Event| matches!(event, Event::Committed { .. });
    if let Some(failed) = events.iter().position(|event| matches!(event, Event::FailedSync { .. })) {
        assert!(!events[failed..].iter().any(committed), "{name}: it went on after {failing:?}: {said}");
    }
    power_cut(Disk::default(), &events, &mut random, &before, &after);
    expected.check(&after, failing.first);
    said.contains("refused: ").then_some(said)
}

fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "it does not say {word:?}: {said}");
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_committed() {
    let mut refused = 0;
    for first in CALLS {
        let failing = Failing { writes: false, first, count: 1, errno: libc::EIO };
        if let Some(said) = after("a sync fails once", failing) {
            assert_says(&said, &["Input/output error"]);
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused} of the failing syncs were met");
}

#[test]
fn a_full_disk_ends_it_with_a_clear_word() {
    let mut refused = 0;
    for first in CALLS.step_by(3) {
        let failing = Failing { writes: true, first, count: u64::MAX, errno: libc::ENOSPC };
        if let Some(said) = after("the disk is full", failing) {
            assert_says(&said, &["No space left on device"]);
            refused += 1;
        }
    }
    assert!(refused > 5, "{refused} of the failing writes were met");
}
