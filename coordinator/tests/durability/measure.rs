//! How fast: run by hand, in release, with `--ignored --nocapture`. Nothing is asserted of time.

use std::time::{Duration, Instant};

use bioxen_coordinator::journal::streams::{self, StreamSettings};
use bioxen_coordinator::journal::{Journal, Position};
use bioxen_coordinator::ledger::{Committer, Ledger, RowKey};

use crate::ledger::write_after;
use crate::support::{NatsServer, append, patience};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn appends_and_reads() {
    let server = NatsServer::start();
    let client = server.connect().await;
    streams::ensure(&client, &StreamSettings::default(), Duration::from_secs(5)).await.unwrap();
    let journal = Journal::new(client, patience());
    let text = "x".repeat(200);
    let mut position = Position::START;
    for (entries, appends) in [(1, 2000), (80, 2000), (1000, 1000)] {
        let texts = vec![text.as_str(); entries];
        let started = Instant::now();
        for _ in 0..appends {
            position = append(&journal, &position, &texts).await.position();
        }
        let per_s = f64::from(appends) / started.elapsed().as_secs_f64();
        println!("append, {entries} entries of 200 B a batch: {per_s:.0} batches/s, one in flight");
    }
    let started = Instant::now();
    let end = journal.read_after(Position::START, |_| ()).await.unwrap();
    println!(
        "read and prove {} entries in {} batches: {:?}",
        end.position.index,
        end.batches,
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn commits() {
    let directory = tempfile::tempdir().unwrap();
    let row = |number: usize| {
        let key = RowKey::Vm { user: format!("u{}", number % 50), vm: format!("{}", number % 20_000) };
        (key, Some(vec![7; 300]))
    };
    let mut position = Position::START;
    let mut ledger = Ledger::open(directory.path()).unwrap();
    let started = Instant::now();
    for number in 0..2000 {
        let (write, next) = write_after(&position, &"x".repeat(700), vec![row(number)]);
        ledger.commit(&[write]).unwrap();
        position = next;
    }
    println!("one batch of 1 KiB and one row a commit: {:.0}/s", 2000.0 / started.elapsed().as_secs_f64());
    let (committer, _fatal) = Committer::start(ledger).unwrap();
    for (batch_bytes, rows, count) in [(700, 1, 100_000), (16_000, 80, 4_000)] {
        let started = Instant::now();
        for number in 0..count {
            let rows = (0..rows).map(|which| row(number * rows + which)).collect();
            let (write, next) = write_after(&position, &"x".repeat(batch_bytes), rows);
            committer.submit(write).await.unwrap();
            position = next;
        }
        let index = position.index;
        committer.applied().wait_for(|at| at.as_ref().is_some_and(|at| at.index == index)).await.unwrap();
        let per_s = f64::from(u32::try_from(count).unwrap()) / started.elapsed().as_secs_f64();
        println!("committer, batches of {batch_bytes} B with {rows} rows of 300 B: {per_s:.0} batches/s");
    }
    drop(committer.close().await.unwrap());
    let bytes = std::fs::metadata(directory.path().join("db")).unwrap().len();
    let started = Instant::now();
    let ledger = Ledger::open(directory.path()).unwrap();
    println!("open, {} MiB on disk: {:?}", bytes >> 20, started.elapsed());
    let started = Instant::now();
    println!("verify {:?} rows: {:?}", ledger.verify().rows, started.elapsed());
}
