//! What a worker and `bioxen-guest` say to each other: jobs to run process code on a cell, and their outcomes.
//!
//! ```text
//!   worker --frame(Job)--> stdin of bioxen-guest: Luau or a plain call, on the cell of the job's checkpoint
//!   worker <--frame(Hello), then a frame(Outcome) for each job-- stdout
//! ```
//!
//! A frame is a length (four bytes, big-endian) and MessagePack. A job is a whole: it says everything that its
//! outcome depends on, so the same job has the same outcome anywhere; time and kills aside. A job that fails leaves no
//! trace in the cell: there is no checkpoint in its outcome.
//!
//! `agent` is what is said to a guest that is a machine of its own and computes whatever its worker asks; `child` starts
//! the program and gives it jobs; `quantum` computes a stretch of a cell's time, wherever that is done. The library runs
//! no code of users; the program beside it does, and alone needs the feature `program`.

pub mod agent;
#[cfg(feature = "child")]
pub mod child;
mod failure;
mod frame;
mod job;
pub mod quantum;
mod value;

pub use failure::Failure;
pub use frame::{FRAME_BYTES, FrameError, decode, encode, length_of, read_frame, write_frame};
pub use job::{
    Checkpoint, Confinement, Done, Hello, Job, JobPackage, Limits, Outcome, Record, RecordingOrder, Rows,
    Spent,
};
pub use value::{MAX_DEPTH, Value};
