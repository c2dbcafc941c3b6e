//! Child processes: started so that they never outlive us, their output kept in logs, ended in order.
//!
//! Children are started from the main thread alone: the kernel ends them when the *thread* that started them ends.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::exit::Failure;

/// Lines of a child that are shown when it dies.
const TAIL_LINES: usize = 12;
/// Lines waiting to be looked at; a child that writes faster waits for us.
const WAITING_LINES: usize = 256;
/// How long a child has to reach what is expected of it: a loaded machine starts slowly.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a child may take to end by itself before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
/// How long the last lines of a child that has ended are waited for: whom it started itself may still have its pipes.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(2);

type Tail = Arc<Mutex<VecDeque<String>>>;

/// A line that a child wrote.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) child: String,
    pub(crate) text: String,
}

/// The children of this process, in the order of their start.
#[derive(Debug)]
pub(crate) struct Children {
    running: Vec<Running>,
    logs: PathBuf,
    sender: mpsc::Sender<Line>,
    lines: mpsc::Receiver<Line>,
}

#[derive(Debug)]
struct Running {
    name: String,
    child: Child,
    tail: Tail,
    /// Each ends with its pipe.
    pumps: Vec<JoinHandle<()>>,
}

impl Children {
    /// None yet; each will write to `<logs>/<name>.log`, begun anew.
    pub(crate) fn new(logs: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(logs)?;
        let (sender, lines) = mpsc::channel(WAITING_LINES);
        Ok(Self { running: Vec::new(), logs: logs.to_owned(), sender, lines })
    }

    pub(crate) async fn start(&mut self, name: &str, mut command: Command) -> Result<(), Failure> {
        let log_path = self.logs.join(format!("{name}.log"));
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        // A group of its own: an interrupt from the terminal is ours alone, so that we can stop all in order.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        end_with_us(&mut command);
        let told = |error: io::Error| Failure::other(format!("cannot start {name} ({program}): {error}"));
        let log = Arc::new(tokio::sync::Mutex::new(File::create(&log_path).await.map_err(told)?));
        let mut child = command.kill_on_drop(true).spawn().map_err(told)?;
        let tail = Tail::default();
        let pump = Pump { child: name.to_owned(), log, tail: Arc::clone(&tail), sender: self.sender.clone() };
        let mut pumps = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            pumps.push(tokio::spawn(pump.clone().run(stdout)));
        }
        if let Some(stderr) = child.stderr.take() {
            pumps.push(tokio::spawn(pump.run(stderr)));
        }
        self.running.push(Running { name: name.to_owned(), child, tail, pumps });
        Ok(())
    }

    /// Hands each line to `look` until that says it has seen enough.
    ///
    /// # Errors
    /// A child that ends meanwhile, or [`PATIENCE`] running out.
    pub(crate) async fn until<T>(
        &mut self,
        expected: &str,
        mut look: impl FnMut(&Line) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                Some(line) = self.lines.recv() => if let Some(seen) = look(&line) {
                    return Ok(seen);
                },
                (index, status) = first_end(&mut self.running) => {
                    return Err(self.died(index, status).await);
                }
                () = &mut deadline => return Err(Failure::other(format!(
                    "waited {} s for {expected}; see the logs in {}", PATIENCE.as_secs(), self.logs.display()
                ))),
            }
        }
    }

    /// Waits until a child ends, which none should.
    pub(crate) async fn watch(&mut self) -> Failure {
        loop {
            tokio::select! {
                Some(_) = self.lines.recv() => {}
                (index, status) = first_end(&mut self.running) => return self.died(index, status).await,
            }
        }
    }

    /// A child that should not have ended, once all that it wrote was read.
    async fn died(&mut self, index: usize, status: io::Result<ExitStatus>) -> Failure {
        let Self { running, lines, .. } = self;
        let ended = &mut running[index];
        let read = futures::future::join_all(ended.pumps.drain(..));
        tokio::pin!(read);
        let all = async {
            loop {
                tokio::select! {
                    _ = &mut read => return,
                    Some(_) = lines.recv() => {}
                }
            }
        };
        // Beyond that, what was read is told.
        let _ = tokio::time::timeout(LAST_LINES_PATIENCE, all).await;
        ended.died(status)
    }

    /// Asks those whose name fits to end, waits for each, and kills what does not.
    ///
    /// # Errors
    /// Naming the first that had to be killed.
    pub(crate) async fn stop(&mut self, fits: impl Fn(&str) -> bool) -> Result<(), Failure> {
        let (mut ending, rest): (Vec<_>, Vec<_>) =
            self.running.drain(..).partition(|child| fits(&child.name));
        self.running = rest;
        for child in &ending {
            child.ask_to_end();
        }
        let mut done = Ok(());
        for child in &mut ending {
            // Its last lines are still read, or a child that writes much could never end.
            let end = async {
                loop {
                    tokio::select! {
                        status = child.child.wait() => return status,
                        Some(_) = self.lines.recv() => {}
                    }
                }
            };
            if tokio::time::timeout(STOP_PATIENCE, end).await.is_err() {
                // Nothing else is left to try; the kernel ends it in any case when we end.
                let _ = child.child.kill().await;
                let text = format!(
                    "{} did not stop within {} s and was killed",
                    child.name,
                    STOP_PATIENCE.as_secs()
                );
                done = done.and(Err(Failure::other(text)));
            }
        }
        done
    }
}

impl Running {
    fn ask_to_end(&self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended by itself just now.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    fn died(&self, status: io::Result<ExitStatus>) -> Failure {
        let how = match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let last: Vec<String> = tail.iter().map(|line| format!("\n  {line}")).collect();
        Failure::other(format!("{} ended unexpectedly ({how}); its last lines:{}", self.name, last.concat()))
    }
}

/// Which child is the first to end, and how; waits for ever where there is none.
async fn first_end(running: &mut [Running]) -> (usize, io::Result<ExitStatus>) {
    if running.is_empty() {
        return std::future::pending().await;
    }
    let waits = running.iter_mut().map(|child| Box::pin(child.child.wait()));
    let (status, index, _) = futures::future::select_all(waits).await;
    (index, status)
}

#[derive(Clone)]
struct Pump {
    child: String,
    log: Arc<tokio::sync::Mutex<File>>,
    tail: Tail,
    sender: mpsc::Sender<Line>,
}

impl Pump {
    async fn run(self, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(bytes)) = lines.next_segment().await {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // A full disk must not stop the fleet; the last lines are kept here as well.
            let _ = self.log.lock().await.write_all(format!("{text}\n").as_bytes()).await;
            {
                let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.push_back(text.clone());
                if tail.len() > TAIL_LINES {
                    tail.pop_front();
                }
            }
            if self.sender.send(Line { child: self.child.clone(), text }).await.is_err() {
                return;
            }
        }
    }
}

/// Has the kernel kill the child when we end, however we do.
#[expect(
    unsafe_code,
    reason = "the one way to run code between fork and exec; only async-signal-safe calls are made"
)]
fn end_with_us(command: &mut Command) {
    let parent = getpid();
    let ask_kernel = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the line above.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::Error::from(rustix::io::Errno::SRCH)),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(ask_kernel);
    }
}

/// Ends when somebody asks us to: an interrupt, a termination, a terminal that closed.
pub(crate) async fn asked_to_end() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
