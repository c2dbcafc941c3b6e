//! What keeps an accepted command: the journal on a real nats-server, the ledger on a real disk, and the
//! two together.

mod heal;
mod journal;
mod ledger;
mod measure;
mod support;
