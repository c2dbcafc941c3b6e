//! Every limit of the wire, with its reason. What a limit refuses is told with the limit's figure.

use std::time::Duration;

/// An id is one subject token; 63 keeps a full subject far below NATS' own bound.
pub const ID_CHARS: usize = 63;
/// Room for a UUID or a hash with a prefix.
pub const REQUEST_ID_BYTES: usize = 128;
/// One command; an entry of the journal carries a whole body and stays below its own 72 KiB.
pub const COMMAND_BYTES: usize = 64 * 1024;
/// Deeper than any body of ours (`schedule[].parameters.x` is 4), shallower than any stack.
pub const BODY_DEPTH: usize = 16;
/// Values in one body: bounds the decoded size whatever the encoding claims.
pub const BODY_ELEMENTS: usize = 8_192;
/// Changes that one VM may schedule in advance.
pub const SCHEDULE_CHANGES: usize = 256;
/// Model parameters that one VM or one change may set: more than there are symbols.
pub const PARAMETERS: usize = 64;
pub const LABELS: usize = 32;
pub const LABEL_BYTES: usize = 256;
/// Highest simulated time: 10,000 years of minutes still counts grid points exactly.
pub const HORIZON_MINUTES: u64 = 5_256_000_000;
/// Grid of simulated time: commands take effect at multiples of 0.1 minute.
pub const TICKS_PER_MINUTE: u64 = 10;
/// `list` answers at most this many at once.
pub const LIST_VMS: usize = 1_000;
pub const LIST_VMS_DEFAULT: usize = 100;
/// `events` and `audit` answer at most this many at once.
pub const RECORDS: usize = 1_000;
/// How long a verb that waits does so by default, and at most.
pub const WAIT_MS_DEFAULT: u64 = 400;
pub const WAIT_MS: u64 = 30_000;
/// Simulated seconds per second.
pub const PACE: std::ops::RangeInclusive<f64> = 0.001..=1e6;
pub const PACE_DEFAULT: f64 = 60.0;
pub const PRIORITY: std::ops::RangeInclusive<u8> = 1..=5;
pub const PRIORITY_DEFAULT: u8 = 3;
/// Request ids remembered for a user.
pub const REQUESTS_PER_USER: usize = 10_000;
pub const REQUEST_AGE: Duration = Duration::from_secs(24 * 3600);
/// Refusals a second and user that are journaled one by one; the rest as one entry with the count.
pub const REFUSALS_PER_SECOND: u32 = 10;
/// Places in one user's intake queue.
pub const INTAKE_PER_USER: usize = 1_024;
/// Users with waiting commands at once; beyond it intake answers as when a user's queue is full.
pub const INTAKE_USERS: usize = 16_384;
/// Messages that one user may have waiting in BIOXEN_SUBMIT.
pub const SUBMIT_PER_USER: i64 = 10_000;
/// What a caller is told to wait before it asks again when a queue is full.
pub const RETRY_AFTER_MS: u64 = 250;

/// A worker's heartbeats, its lease, and the grace that a verdict adds to it.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
pub const LEASE: Duration = Duration::from_secs(3);
pub const GRACE: Duration = Duration::from_secs(1);
/// A leader appends at least this often.
pub const TICK: Duration = Duration::from_millis(500);
/// A journal that is silent for so long has no leader: four ticks, and below a worker's lease.
pub const LEADER_SILENCE: Duration = Duration::from_secs(2);
/// How long a command is held while nobody leads, and how long one that was forwarded may stay unconfirmed.
pub const HOLD: Duration = Duration::from_secs(5);
/// Commands that one coordinator holds, and their bytes: bounds its memory while nobody leads.
pub const HELD_COMMANDS: usize = 16_384;
pub const HELD_BYTES: usize = 64 * 1024 * 1024;
/// A VM's checkpoint that travels in a report and stands in the journal.
pub const CHECKPOINT_BYTES: usize = 16 * 1024;
/// Checkpoints that a VM keeps by name, and their bytes in all: its row in the ledger holds them. The oldest give way.
pub const CHECKPOINTS_PER_VM: usize = 16;
pub const CHECKPOINTS_PER_VM_BYTES: usize = 64 * 1024;
/// Observations in one report message.
pub const OBSERVATIONS: usize = 256;
/// Guests of a pool in one message.
pub const GUESTS: usize = 64;
/// A process's result as JSON text: it stands in the journal beside the cell's checkpoint.
pub const PROCESS_RESULT_BYTES: usize = 16 * 1024;
/// How long process code may run by default, and at most.
pub const PROCESS_TIMEOUT_MS_DEFAULT: u64 = 5_000;
pub const PROCESS_TIMEOUT_MS: u64 = 60_000;
/// Beyond its own time a process has this long to be told, started and reported; then its outcome is unknown.
pub const PROCESS_GRACE_MS: u64 = 10_000;
/// Scheduled calls of one VM, and bytes of their code together: both stand in the journal, once for each member of an
/// ensemble.
pub const SCHEDULED_CALLS: usize = 64;
pub const SCHEDULED_CALLS_BYTES: usize = 8 * 1024;
/// Samples that a worker keeps of a monitored VM.
pub const HISTORY_SAMPLES: usize = 1_000;
/// `history` answers so many where no limit is given.
pub const HISTORY_DEFAULT: u64 = 100;
/// Seconds between samples of a monitored VM by default, and at most.
pub const MONITOR_SECONDS_DEFAULT: u64 = 30;
pub const MONITOR_SECONDS: u64 = 3_600;
/// Members of one ensemble: five digits of their names.
pub const ENSEMBLE_MEMBERS: u64 = 99_999;
/// Axes of one ensemble.
pub const AXES: usize = 16;
/// Ensembles that a user's account keeps, finished ones included.
pub const ENSEMBLES_PER_USER: usize = 100;
/// The final figures of a VM that completed, as they stand in the journal.
pub const SUMMARY_BYTES: usize = 4 * 1024;
/// Packages in one VM: bounds what a checkpoint, an order and a job of process code carry.
pub const PACKAGES_PER_VM: usize = 16;
/// What all packages of one VM may cost, in balance, in millionths of the model's transcription a minute: 10,000 a
/// minute, some ten times what any chassis transcribes itself; no cell grows under it.
pub const PACKAGES_LOAD_MICRO_PER_MIN: u64 = 10_000_000_000;
/// A package's archive: sixteen of them fit a frame to bioxen-guest.
pub const PACKAGE_BYTES: usize = 256 * 1024;
/// Packages that a listing of the store reads.
pub const PACKAGES_LISTED: usize = 10_000;
/// Bytes of recorded rows in one message of a worker.
pub const TRACE_BYTES: usize = 256 * 1024;
/// Rows in one answer of `results`, by default and at most.
pub const RESULT_ROWS_DEFAULT: u64 = 1_000;
pub const RESULT_ROWS: u64 = 10_000;
/// Bytes in one chunk of a Parquet file: with base64 it stays below the bus's bound of 1 MiB.
pub const RESULT_BYTES: u64 = 512 * 1024;
