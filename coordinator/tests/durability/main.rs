//! What keeps an accepted command: the journal on a real nats-server, the ledger on a real disk, and the
//! two together.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod heal;
mod journal;
mod ledger;
mod measure;
mod support;
