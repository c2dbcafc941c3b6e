//! A journal that lost something, and a ledger that still has it.

use std::path::Path;
use std::time::Duration;

use bioxen_coordinator::journal::streams::{self, StreamSettings};
use bioxen_coordinator::journal::{Difference, Joining, Journal, Position, Refold};
use bioxen_coordinator::ledger::{self, Ledger, LedgerWrite};
use serde_json::json;

use crate::support::{Appended, NatsServer, append, batch_after, patience};

const WAIT: Duration = Duration::from_secs(20);

async fn journal_on(server: &NatsServer) -> (Journal, async_nats::Client) {
    let client = server.connect().await;
    streams::ensure(&client, &StreamSettings::default(), WAIT).await.unwrap();
    (Journal::new(client.clone(), patience()), client)
}

async fn delete(client: &async_nats::Client, sequence: u64) {
    let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", streams::JOURNAL);
    let body = json!({ "seq": sequence }).to_string();
    client.request(subject, body.into()).await.unwrap();
}

fn write(appended: &Appended) -> LedgerWrite {
    LedgerWrite::new(&appended.batch, appended.sequence, appended.hash, appended.payload.clone(), Vec::new())
}

/// Appends so many batches of two entries, with `mark` in them, and writes each to the ledger.
async fn grow(journal: &Journal, ledger: &mut Ledger, from: Position, count: usize, mark: &str) -> Position {
    let mut position = from;
    for number in 0..count {
        let appended = append(journal, &position, &[mark, &number.to_string()]).await;
        ledger.commit(&[write(&appended)]).unwrap();
        position = appended.position();
    }
    position
}

/// Does what a coordinator does with a lost tail, and returns where the journal then ends.
async fn heal(journal: &Journal, ledger: &Ledger) -> (usize, Position) {
    let joining = journal.join(ledger).await.unwrap();
    let Joining::JournalLost { missing, expected_sequence, .. } = joining else { panic!("{joining:?}") };
    let reappended = journal.reappend(&missing, expected_sequence, true).await.unwrap();
    let (_, end) = journal.read_from(Position::START).await.unwrap();
    assert_eq!(end.position.sequence, reappended.last_sequence);
    assert_eq!(end.missing_at_end(), 0);
    (missing.len(), end.position)
}

#[tokio::test]
async fn a_ledger_behind_the_journal_joins_and_the_tail_is_read() {
    let server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    assert_eq!(
        journal.join(&ledger).await.unwrap(),
        Joining::LedgerBehindOrGone { reason: Refold::LedgerEmpty }
    );
    let position = grow(&journal, &mut ledger, Position::START, 3, "a").await;
    let further = append(&journal, &position, &["further"]).await;
    assert_eq!(journal.join(&ledger).await.unwrap(), Joining::Joined { after: position });
    let (tail, _) = journal.read_from(position).await.unwrap();
    assert_eq!(tail[0].payload, further.payload);
}

#[tokio::test]
async fn a_tail_of_any_length_is_appended_again_verbatim() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let mut end = grow(&journal, &mut ledger, Position::START, 5, "a").await;
    let (written, _) = journal.read_from(Position::START).await.unwrap();
    for lost in 1..=5 {
        let (standing, _) = journal.read_from(Position::START).await.unwrap();
        for batch in standing.iter().rev().take(lost) {
            delete(&client, batch.sequence).await;
        }
        let (healed, position) = heal(&journal, &ledger).await;
        assert_eq!(healed, lost);
        assert!(position.sequence > end.sequence, "sequences of a lost tail do not come back");
        assert_eq!((position.index, position.hash), (end.index, end.hash));
        assert_eq!(journal.join(&ledger).await.unwrap(), Joining::Joined { after: position });
        end = position;
    }
    let (standing, _) = journal.read_from(Position::START).await.unwrap();
    assert!(standing.iter().map(|batch| &batch.payload).eq(written.iter().map(|batch| &batch.payload)));
    append(&journal, &end, &["goes on"]).await;
}

#[tokio::test]
async fn a_healing_that_was_interrupted_goes_on() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    grow(&journal, &mut ledger, Position::START, 4, "a").await;
    for sequence in 2..=4 {
        delete(&client, sequence).await;
    }
    let Joining::JournalLost { missing, expected_sequence, .. } = journal.join(&ledger).await.unwrap() else {
        panic!("the journal lost its tail")
    };
    journal.reappend(&missing[..1], expected_sequence, true).await.unwrap();
    assert_eq!(heal(&journal, &ledger).await.0, 2);
}

#[tokio::test]
async fn an_older_copy_of_the_store_is_brought_up_to_date() {
    let mut server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let early = grow(&journal, &mut ledger, Position::START, 3, "a").await;
    server.kill();
    let copy = directory.path().join("copy");
    copy_folder(&server.store(), &copy);
    server.start_again();
    let late = grow(&journal, &mut ledger, early, 4, "b").await;
    server.kill();
    std::fs::remove_dir_all(server.store()).unwrap();
    copy_folder(&copy, &server.store());
    server.start_again();

    let (journal, _) = journal_on(&server).await;
    let regressed = journal.read_after(late, |_| ()).await.unwrap_err();
    assert!(regressed.to_string().contains("shorter than it was"), "{regressed}");
    let (healed, position) = heal(&journal, &ledger).await;
    assert_eq!(healed, 4);
    assert_eq!(position, late);
}

#[tokio::test]
async fn a_store_that_is_gone_is_filled_from_the_ledger() {
    let mut server = NatsServer::start();
    let (journal, _) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let end = grow(&journal, &mut ledger, Position::START, 3, "a").await;
    server.kill();
    std::fs::remove_dir_all(server.store()).unwrap();
    server.start_again();
    let (journal, _) = journal_on(&server).await;
    assert_eq!(heal(&journal, &ledger).await, (3, end));
}

#[tokio::test]
async fn a_journal_that_went_another_way_is_refused_with_what_differs() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    let common = grow(&journal, &mut ledger, Position::START, 2, "a").await;
    let ours = grow(&journal, &mut ledger, common, 1, "ours").await;
    delete(&client, 3).await;
    let fence = Position { sequence: 3, ..common };
    let theirs = append(&journal, &fence, &["theirs", "0"]).await;

    let Joining::Diverged { differences } = journal.join(&ledger).await.unwrap() else {
        panic!("they tell different stories")
    };
    let expected = Difference::Batch { last_index: 6, ledger: Some(ours.hash), journal: Some(theirs.hash) };
    assert_eq!(differences, [expected]);

    drop(ledger);
    let aside = ledger::set_aside(&path).unwrap();
    assert_eq!(Ledger::open_existing(&aside).unwrap().applied().unwrap().hash, ours.hash);
    let fresh = Ledger::open(&path).unwrap();
    assert_eq!(
        journal.join(&fresh).await.unwrap(),
        Joining::LedgerBehindOrGone { reason: Refold::LedgerEmpty }
    );
}

#[tokio::test]
async fn another_fleet_s_journal_is_refused() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    grow(&journal, &mut ledger, Position::START, 1, "a").await;
    delete(&client, 1).await;
    let mut foreign = batch_after(&Position::START, &["x", "y"]);
    foreign.fleet = "other".to_owned();
    let (payload, hash) = foreign.encode().unwrap();
    journal.append(payload, &hash, 1).await.unwrap();
    let Joining::Diverged { differences } = journal.join(&ledger).await.unwrap() else {
        panic!("another fleet's journal")
    };
    let fleets = Difference::Fleet { ledger: "lab".to_owned(), journal: "other".to_owned() };
    assert_eq!(differences[0], fleets);
    assert_eq!(differences.len(), 2);
}

#[tokio::test]
async fn a_ledger_older_than_the_compacted_journal_is_folded_again() {
    let server = NatsServer::start();
    let (journal, client) = journal_on(&server).await;
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let mut position = grow(&journal, &mut ledger, Position::START, 2, "a").await;
    for _ in 0..3 {
        position = append(&journal, &position, &["later"]).await.position();
    }
    let purge = format!("$JS.API.STREAM.PURGE.{}", streams::JOURNAL);
    client.request(purge, json!({ "seq": 4 }).to_string().into()).await.unwrap();
    let reason = Refold::JournalBeginsLater { ledger_index: 4, journal_first_index: 6 };
    assert_eq!(journal.join(&ledger).await.unwrap(), Joining::LedgerBehindOrGone { reason });
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
