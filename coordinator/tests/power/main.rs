//! The ledger on a disk that keeps only what was synced, and on one that fails: power cuts, errors, no room.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]
#![expect(clippy::print_stdout, reason = "a child says by it what it was refused")]

mod cuts;
mod disk;
mod faults;
mod model;
mod work;
