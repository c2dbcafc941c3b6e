//! A pool that behaves as XCP-ng's does, for tests: XAPI over TLS (JSON-RPC and XML-RPC), VMs whose guests are real
//! sshds, faults on demand. It judges its callers: a call that XAPI does not have, or that is called otherwise than XAPI's
//! data model says, fails the test even if the caller recovers.
//!
//! It shares no code and no types with the client that it judges. What it does, and who says that XAPI does so, stands
//! in README.md beside this crate.
//!
//! ```text
//!   TLS, HTTP (server) --> JSON-RPC, XML-RPC (wire) --> dispatch: host, table (model), session --> ops
//!        '--> http: disks up, RRDs down                                                            |
//!   events (event) <-- generations -- objects (store) <--------------------------------------------'
//!   guests (guest): a thread that starts, stops and ends sshds <-----------------------------------'
//! ```

mod clock;
mod dispatch;
mod event;
mod fault;
mod guest;
mod http;
mod lifecycle;
pub mod model;
mod ops;
mod options;
mod pool;
mod server;
mod session;
mod setup;
mod shared;
mod state;
mod store;
mod task;
mod value;
mod wire;

pub use fault::Fault;
pub use options::Options;
pub use pool::{Census, Pool, PoolError};
pub use state::Seen;
pub use value::{Answer, Failure, Value};
