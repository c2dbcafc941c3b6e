//! XCP-ng pools, as a client of XAPI: sessions, tasks, events, and guests that are VMs of this fleet.
//!
//! ```text
//!   config -> Pool -- session -- rpc (json, xml; tls) --HTTPS--> XAPI
//!              |  \-- tasks: Async.* to its end
//!              |  \-- events -> seen: what everybody waits on
//!            Guests: find, bring_up, power, shut_down, snapshot, destroy, collect
//!   Channel --SSH--> bioxen-guest in a guest that is up: frames in, frames out
//! ```
//!
//! It knows no cell, and not what is in a frame. A change is never asked for twice blindly: where an answer is lost, what is
//! there is read first. Secrets stand in no error, no `Debug` and no log line.

pub mod channel;
mod check;
pub mod config;
mod deadline;
mod events;
pub mod fault;
pub mod guests;
mod json;
mod owner;
mod pool;
mod record;
mod rpc;
mod rrd;
mod seen;
mod session;
mod tasks;
mod tls;
mod xml;

pub use self::channel::{Channel, SshFault};
pub use self::check::{Scratch, Step, check};
pub use self::config::PoolSettings;
pub use self::deadline::Deadline;
pub use self::fault::XcpngError;
pub use self::owner::{Claim, Owner};
pub use self::pool::Pool;
pub use self::record::Ref;
pub use self::rpc::BadClient;
pub use self::rrd::GuestFigures;
pub use self::tls::BadTrust;
