//! What BioXen says on the bus.
//!
//! Ids, subjects, commands, replies, events, audit records, what coordinator and workers tell each other, the
//! codec of untrusted bodies, errors, limits, configuration and a client. It decides nothing.
//!
//! ```text
//!  client --Subject::Command / Submit / Operator--> coordinator --Subject::WorkerCommand--> worker
//!         <--reply, Subject::Event, Subject::Audit--            <--Subject::WorkerReport---
//! ```

pub mod alert;
pub mod audit;
pub mod client;
pub mod codec;
pub mod command;
pub mod config;
pub mod digest;
pub mod error;
pub mod event;
pub mod id;
pub mod inventory;
pub mod limits;
mod order;
pub mod package;
pub mod packed;
pub mod pool;
pub mod quantity;
pub mod reply;
pub mod state;
pub mod subject;
mod text;
pub mod worker;
