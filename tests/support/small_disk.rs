//! A disk of a few MiB: a tmpfs in namespaces of its own, for which nobody need be root.
//!
//! A process holds the namespaces until the value is dropped; whoever shall see the disk is started within them.

#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How a machine says that it allows no such namespaces.
const SKIPPED: &str =
    "skipped: this machine allows no user and mount namespaces (unshare -Urm), so no disk is full";

#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    path: PathBuf,
}

impl SmallDisk {
    /// Makes one at `path`; None, having said so, where that is not allowed.
    pub fn mount(path: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={mebibytes}m");
        // It ends with its input, and so with this process.
        let script = "mount -t tmpfs -o \"$1\" tmpfs \"$0\" && touch \"$0/mounted\" && exec cat";
        let mut holder = Command::new("unshare");
        holder.args(["-Urm", "sh", "-c", script]).arg(path).arg(size);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(holder) = holder else {
            println!("{SKIPPED}");
            return None;
        };
        let mut disk = Self { holder, path: path.to_owned() };
        let started = std::time::Instant::now();
        while !disk.run("test", &[OsStr::new("-e"), path.join("mounted").as_os_str()]) {
            let has_ended = disk.holder.try_wait().expect("the child can be asked").is_some();
            if has_ended || started.elapsed() > crate::START_PATIENCE {
                println!("{SKIPPED}");
                return None;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Some(disk)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same command, for a process that sees the disk.
    pub fn within(&self, command: &Command) -> Command {
        let mut within = Command::new("nsenter");
        within.args(["--preserve-credentials", "-U", "-m", "-t", &self.holder.id().to_string(), "--"]);
        within.arg(command.get_program()).args(command.get_args());
        within
    }

    /// Uses up what room there is.
    pub fn fill(&self) {
        let filler = self.path.join("filler");
        self.run("sh", &["-c", "cat /dev/zero >> \"$0\"", &filler.display().to_string()].map(OsStr::new));
    }

    /// Gives it another size, with what it holds.
    pub fn resize(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        let path = self.path.as_os_str();
        assert!(
            self.run("mount", &[OsStr::new("-o"), OsStr::new(&size), path]),
            "the disk gets another size"
        );
    }

    fn run(&self, program: &str, arguments: &[&OsStr]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments);
        let ended = self.within(&command).stdin(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
