//! One `bioxen-guest` process: started, asked under a deadline, killed when dropped. It knows nothing of what is asked.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bioxen_guest::{Confinement, FrameError, Hello, decode, length_of};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a child may take to be ready: a loaded machine starts slowly.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Waiting is cut in pieces so that an ending pool is noticed.
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
    #[error("it is of version {theirs}, this worker of {ours}; install both from one release")]
    Version { theirs: String, ours: &'static str },
}

/// Why no answer came. The child is of no use any more.
#[derive(Debug)]
pub(super) enum Lost {
    Late,
    Ended(String),
}

#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: ChildStdout,
    confinement: Confinement,
}

impl Child {
    /// Starts the program and waits for its greeting. The kernel ends it with the calling thread.
    pub(super) fn start(
        program: &Path,
        packs: Option<&Path>,
        ending: &AtomicBool,
    ) -> Result<Self, StartError> {
        let mut process = Command::new(program)
            .args(packs)
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

    pub(super) fn confinement(&self) -> Confinement {
        self.confinement
    }

    /// Hands over a frame and reads the answer's body. After an error the child must be dropped.
    pub(super) fn ask(
        &mut self,
        frame: &[u8],
        deadline: Option<Instant>,
        ending: &AtomicBool,
    ) -> Result<Vec<u8>, Lost> {
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
            return Err(Lost::Ended("the worker is ending".to_owned()));
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
