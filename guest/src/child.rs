//! One `bioxen-guest` process that runs process code: started ahead, given a job at a time under a deadline, killed when
//! dropped. A job is never run twice; who runs another process in its place decides that alone.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{Confinement, Failure, FrameError, Hello, Limits, Outcome, Spent, decode, length_of};

/// How long a child may take to be ready: a loaded machine starts slowly.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// A guest ends a job by itself at its wall limit; one that is busy where it cannot look is killed so much later.
const WALL_GRACE: Duration = Duration::from_millis(250);
/// Waiting is cut in pieces so that it is noticed when whoever asked is ending.
const PIECE: Duration = Duration::from_millis(50);

/// Why a child did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Spawn(#[from] io::Error),
    #[error("it ended before it was ready ({0})")]
    Ended(String),
    #[error("it was not ready within 20 s")]
    Late,
    #[error("its greeting was not understood: {0}")]
    Greeting(#[from] FrameError),
    #[error(
        "it is of version {theirs}, the program that started it of {ours}; install both from one release"
    )]
    Version { theirs: String, ours: &'static str },
}

/// Why no answer came. The child is of no use any more.
#[derive(Debug)]
pub enum Lost {
    /// It did not answer in time.
    Late,
    /// How it ended.
    Ended(String),
}

/// The process. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: ChildStdout,
    confinement: Confinement,
}

impl Child {
    /// Starts the program and waits for its greeting, unless `ending` is set meanwhile. The kernel ends it with the
    /// calling thread. `packs` is a folder of chassis packs, which it reads before it is confined.
    ///
    /// # Errors
    /// The program missing, of another version, or not able to confine itself.
    pub fn start(program: &Path, packs: Option<&Path>, ending: &AtomicBool) -> Result<Self, StartError> {
        let mut process = Command::new(program)
            // Absolute: no folder has the name of a mode.
            .args(packs.map(std::path::absolute).transpose()?)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("its pipes are missing").into());
        };
        let confinement = Confinement { network_namespace: false, system_calls: false };
        let mut child = Self { process, input, output, confinement };
        rustix::io::ioctl_fionbio(&child.input, true).map_err(io::Error::from)?;
        rustix::io::ioctl_fionbio(&child.output, true).map_err(io::Error::from)?;
        let wait = Wait { deadline: Instant::now().checked_add(START_PATIENCE), ending };
        let greeting = child.read_frame(&wait).map_err(|lost| match lost {
            Lost::Late => StartError::Late,
            Lost::Ended(how) => StartError::Ended(how),
        })?;
        let hello: Hello = decode(&greeting)?;
        let ours = env!("CARGO_PKG_VERSION");
        if hello.version != ours {
            return Err(StartError::Version { theirs: hello.version, ours });
        }
        child.confinement = hello.confinement;
        Ok(child)
    }

    /// How it is shut off from this host.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        self.confinement
    }

    /// Runs the job `id`, encoded in `frame`. There is an answer at the latest a moment after the job's wall limit.
    ///
    /// # Errors
    /// The child is lost; it must be dropped.
    pub fn run(
        &mut self,
        id: u64,
        limits: &Limits,
        frame: &[u8],
        ending: &AtomicBool,
    ) -> Result<Outcome, Lost> {
        let wall = Duration::from_millis(limits.wall_ms).saturating_add(WALL_GRACE);
        let answer = self.ask(frame, Instant::now().checked_add(wall), ending)?;
        match decode::<Outcome>(&answer) {
            Ok(outcome) if outcome.id == id => Ok(outcome),
            Ok(outcome) => Err(Lost::Ended(format!("it answered job {} for {id}", outcome.id))),
            Err(error) => Err(Lost::Ended(error.to_string())),
        }
    }

    /// Hands over a frame and reads the answer's body.
    fn ask(&mut self, frame: &[u8], deadline: Option<Instant>, ending: &AtomicBool) -> Result<Vec<u8>, Lost> {
        let wait = Wait { deadline, ending };
        let mut rest = frame;
        while !rest.is_empty() {
            match self.input.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) => self.wait_after(&error, &wait, PollFlags::OUT)?,
            }
        }
        self.read_frame(&wait)
    }

    fn read_frame(&mut self, wait: &Wait<'_>) -> Result<Vec<u8>, Lost> {
        let mut head = [0; 4];
        self.fill(&mut head, wait)?;
        let length = length_of(head).map_err(|error| Lost::Ended(error.to_string()))?;
        let mut body = vec![0; length];
        self.fill(&mut body, wait)?;
        Ok(body)
    }

    fn fill(&mut self, buffer: &mut [u8], wait: &Wait<'_>) -> Result<(), Lost> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.output.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.ended()),
                Ok(more) => filled += more,
                Err(error) => self.wait_after(&error, wait, PollFlags::IN)?,
            }
        }
        Ok(())
    }

    /// After a read or write that could not go on: waits until it can, unless it never will.
    fn wait_after(&mut self, error: &io::Error, wait: &Wait<'_>, what: PollFlags) -> Result<(), Lost> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => wait.once(self, what),
            io::ErrorKind::BrokenPipe => Err(self.ended()),
            _ => Err(Lost::Ended(format!("its pipe broke: {error}"))),
        }
    }

    /// How it ended, now that its pipes are closed.
    fn ended(&mut self) -> Lost {
        let _ = self.process.kill();
        Lost::Ended(match self.process.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        })
    }
}

impl Lost {
    /// What became of the job that was lost with the child.
    #[must_use]
    pub fn outcome(self, id: u64, limits: &Limits) -> Outcome {
        let failure = match self {
            Self::Late => Failure::Wall { limit_ms: limits.wall_ms },
            Self::Ended(how) => Failure::Killed { how },
        };
        Outcome { id, spent: Spent::default(), result: Err(failure) }
    }
}

/// Whether the child may run another job: one whose heap was full may not get back all of its memory.
#[must_use]
pub fn is_as_new(outcome: &Outcome) -> bool {
    !matches!(outcome.result, Err(Failure::Memory { .. }))
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// For how long to wait.
struct Wait<'a> {
    /// `None` where it is beyond what a clock counts.
    deadline: Option<Instant>,
    ending: &'a AtomicBool,
}

impl Wait<'_> {
    /// Waits for a piece of time, or until the child's pipe is ready.
    fn once(&self, child: &Child, what: PollFlags) -> Result<(), Lost> {
        if self.ending.load(Ordering::Relaxed) {
            return Err(Lost::Ended("the program that started it is ending".to_owned()));
        }
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Lost::Late);
        }
        let piece = left.map_or(PIECE, |left| left.min(PIECE));
        let fd = if what == PollFlags::OUT { child.input.as_fd() } else { child.output.as_fd() };
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(piece.subsec_nanos()) };
        match poll(&mut [PollFd::from_borrowed_fd(fd, what)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(Lost::Ended(format!("waiting for it failed: {errno}"))),
        }
    }
}
