//! Disks that fail or are full, under whole processes: each says what happened and keeps what it acknowledged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]
#![expect(clippy::print_stdout, reason = "what was met is shown by --nocapture")]

mod child;
mod coordinators;
mod failing;
mod files;
mod full;
#[path = "../crash/lane.rs"]
mod lane;
#[path = "../crash/oracle.rs"]
mod oracle;
