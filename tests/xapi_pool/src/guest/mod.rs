//! Guests: real sshds, each with a root file system, a process tree and an address of its own. One thread starts and ends
//! them all, for they end with the thread that started them. It knows no objects of the pool.
//!
//! ```text
//!   keeper thread --> setpriv --pdeathsig KILL --> unshare --mount --pid --> sh: overlay of the disk on / --> sshd
//!                                                                                                 (pid 1 of its tree)
//! ```

mod boot;
mod cloud;
mod image;
mod iso;
mod keeper;
mod tree;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Weak, mpsc};

pub(crate) use boot::can_run;

use crate::ops;
use crate::options::Options;
use crate::shared::Shared;
use crate::value::Value;
use keeper::Command;

/// The last part of the first and the last guest's address.
const FIRST_GUEST: u8 = 10;
const LAST_GUEST: u8 = 250;

/// The port by which a pool holds its subnet.
const MARK_PORT: u16 = 40_004;

/// How a guest comes up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    pub(crate) no_address: bool,
    pub(crate) wrong_host_key: bool,
    pub(crate) hangs: bool,
    pub(crate) no_tools: bool,
}

/// What a guest starts from.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) vm: String,
    /// The folder of the disk.
    pub(crate) disk: PathBuf,
    /// Disks that were uploaded.
    pub(crate) images: Vec<PathBuf>,
    pub(crate) xenstore: Value,
    pub(crate) manner: Manner,
}

/// Addresses of one pool: 127.a.b.1 and on.
#[derive(Debug)]
pub(crate) struct Subnet {
    prefix: String,
    /// Held for as long as the subnet is taken.
    _taken: TcpListener,
}

impl Subnet {
    /// One that no other pool on this machine has.
    ///
    /// # Errors
    /// None is free.
    pub(crate) fn take() -> std::io::Result<Self> {
        let start = std::process::id();
        let mut last = std::io::Error::other("no subnet was tried");
        for offset in 0..1000 {
            let number = start.wrapping_add(offset).wrapping_mul(2_654_435_761) >> 16;
            let prefix = format!("127.{}.{}", 1 + (number >> 8) % 250, number & 0xff);
            // It marks the subnet as taken, whoever asks.
            match TcpListener::bind(format!("{prefix}.254:{MARK_PORT}")) {
                Ok(taken) => return Ok(Self { prefix, _taken: taken }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(crate) fn address(&self, last: u8) -> String {
        format!("{}.{last}", self.prefix)
    }
}

#[derive(Debug)]
struct Known {
    boot: u64,
    address: String,
}

/// The handle by which the pool has guests.
#[derive(Debug)]
pub(crate) struct Keeper {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<std::thread::JoinHandle<()>>,
    subnet: Subnet,
    known: BTreeMap<String, Known>,
    boots: u64,
    next: u8,
}

impl Keeper {
    /// `folder` is where guests have what is theirs while they run.
    ///
    /// # Errors
    /// No thread.
    pub(crate) fn start(options: &Options, subnet: Subnet, folder: &Path) -> std::io::Result<Self> {
        let (mut commands, mut thread) = (None, None);
        if options.guests {
            let (sender, receiver) = mpsc::channel();
            let (options, folder) = (options.clone(), folder.to_owned());
            let run = move || keeper::run(&receiver, &options, &folder);
            thread = Some(std::thread::Builder::new().name("guests".to_owned()).spawn(run)?);
            commands = Some(sender);
        }
        Ok(Self { commands, thread, subnet, known: BTreeMap::new(), boots: 0, next: FIRST_GUEST })
    }

    /// Starts a guest and comes back at once; the pool is told when it is up.
    pub(crate) fn boot(&mut self, boot: Boot, shared: Weak<Shared>) {
        let Some(address) = self.free_address() else { return };
        self.boots += 1;
        let (number, vm) = (self.boots, boot.vm.clone());
        self.known.insert(vm.clone(), Known { boot: number, address: address.clone() });
        let manner = boot.manner;
        let told = (!manner.no_address).then(|| address.clone());
        let up = move || {
            if let Some(shared) = shared.upgrade()
                && !manner.no_tools
            {
                ops::guest_is_up(&shared, &vm, number, told.as_deref());
            }
        };
        match &self.commands {
            // Whoever calls holds the pool's lock, so the news waits for it elsewhere.
            None => drop(std::thread::spawn(up)),
            Some(commands) => {
                let _ = commands.send(Command::Boot { boot, address, up: Box::new(up) });
            }
        }
    }

    /// Ends the guest and every process of it; it is gone when this returns.
    pub(crate) fn kill(&mut self, vm: &str) {
        self.known.remove(vm);
        self.ask(|done| Command::Kill { vm: vm.to_owned(), done });
    }

    /// Stops every process of the guest.
    pub(crate) fn freeze(&mut self, vm: &str) {
        self.ask(|done| Command::Freeze { vm: vm.to_owned(), done });
    }

    /// Lets them go on; whether there is such a guest.
    pub(crate) fn thaw(&mut self, vm: &str) -> bool {
        self.ask(|done| Command::Thaw { vm: vm.to_owned(), done });
        self.known.contains_key(vm)
    }

    pub(crate) fn is_current(&self, vm: &str, boot: u64) -> bool {
        self.known.get(vm).is_some_and(|known| known.boot == boot)
    }

    /// Guests by VM, with their addresses.
    pub(crate) fn guests(&self) -> BTreeMap<String, String> {
        self.known.iter().map(|(vm, known)| (vm.clone(), known.address.clone())).collect()
    }

    pub(crate) fn subnet(&self) -> &Subnet {
        &self.subnet
    }

    /// Ends every guest.
    pub(crate) fn end(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It panics only if this crate has a defect, which then has been printed.
            let _ = thread.join();
        }
    }

    fn ask(&self, command: impl FnOnce(mpsc::Sender<()>) -> Command) {
        let (done, wait) = mpsc::channel();
        if let Some(commands) = &self.commands
            && commands.send(command(done)).is_ok()
        {
            // An error means that the thread is gone, and its guests with it.
            let _ = wait.recv();
        }
    }

    /// Addresses are used again as late as possible.
    fn free_address(&mut self) -> Option<String> {
        for _ in FIRST_GUEST..=LAST_GUEST {
            let address = self.subnet.address(self.next);
            self.next = if self.next == LAST_GUEST { FIRST_GUEST } else { self.next + 1 };
            if !self.known.values().any(|known| known.address == address) {
                return Some(address);
            }
        }
        None
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}
