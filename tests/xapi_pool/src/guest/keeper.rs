//! The thread that starts and ends guests. It lives as long as the pool, for the guests end with it.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Boot, boot, tree};
use crate::options::Options;

/// How long a guest may take until its sshd says something.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

pub(super) enum Command {
    Boot { boot: Boot, address: String, up: Box<dyn FnOnce() + Send> },
    Kill { vm: String, done: Sender<()> },
    Freeze { vm: String, done: Sender<()> },
    Thaw { vm: String, done: Sender<()> },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boot { boot, .. } => write!(f, "Boot({boot:?})"),
            Self::Kill { vm, .. } => write!(f, "Kill({vm})"),
            Self::Freeze { vm, .. } => write!(f, "Freeze({vm})"),
            Self::Thaw { vm, .. } => write!(f, "Thaw({vm})"),
        }
    }
}

/// Serves until nobody can ask any more, and ends every guest then.
pub(super) fn run(commands: &Receiver<Command>, options: &Options, folder: &Path) {
    let mut guests: BTreeMap<String, Child> = BTreeMap::new();
    for (number, command) in commands.iter().enumerate() {
        match command {
            Command::Boot { boot, address, up } => {
                let folder = folder.join(number.to_string());
                match boot::start(&boot, &address, options, &folder) {
                    Ok(child) => {
                        await_it(child.id(), &boot, &address, options.ssh_port, up);
                        guests.insert(boot.vm, child);
                    }
                    // The VM runs and nothing in it answers, as with a disk that does not boot.
                    Err(error) => report(&format!("the guest of {} did not start: {error}", boot.vm)),
                }
            }
            Command::Kill { vm, done } => {
                if let Some(child) = guests.remove(&vm) {
                    end(child);
                }
                let _ = done.send(());
            }
            Command::Freeze { vm, done } => {
                if let Some(child) = guests.get(&vm) {
                    tree::stop(child.id());
                }
                let _ = done.send(());
            }
            Command::Thaw { vm, done } => {
                if let Some(child) = guests.get(&vm) {
                    tree::go_on(child.id());
                }
                let _ = done.send(());
            }
        }
    }
    guests.into_values().for_each(end);
}

/// Calls `up` once sshd speaks; hangs it then where it shall hang.
fn await_it(process: u32, boot: &Boot, address: &str, port: u16, up: Box<dyn FnOnce() + Send>) {
    let (vm, hangs) = (boot.vm.clone(), boot.manner.hangs);
    let Ok(address) = format!("{address}:{port}").parse::<SocketAddr>() else { return };
    std::thread::spawn(move || {
        let started = Instant::now();
        // A paused guest says nothing and is none the worse; its time runs all the same.
        while started.elapsed() < BOOT_PATIENCE {
            if speaks(address) {
                if hangs {
                    tree::stop(process);
                }
                return up();
            }
            if !tree::is_there(process) {
                return;
            }
            std::thread::sleep(POLL);
        }
        report(&format!("the sshd of {vm} said nothing at {address} in {} s", BOOT_PATIENCE.as_secs()));
    });
}

/// Whether an sshd says what it is.
fn speaks(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, POLL * 20) else { return false };
    let mut first = [0; 4];
    stream.set_read_timeout(Some(POLL * 50)).is_ok()
        && stream.read_exact(&mut first).is_ok()
        && first == *b"SSH-"
}

/// Kills the first process of the guest's tree, with which the kernel ends all others.
fn end(mut child: Child) {
    for process in tree::children(child.id()) {
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(process, Signal::KILL);
        }
    }
    if tree::children(child.id()).is_empty() {
        let _ = child.kill();
    }
    let _ = child.wait();
}

fn report(text: &str) {
    use std::io::Write;
    // Nobody may read it; that is no reason to end.
    let _ = writeln!(std::io::stderr(), "xapi-pool: {text}");
}
