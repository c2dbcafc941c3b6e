//! Guests are real: they are spoken to by OpenSSH's client, stand still when paused, and are gone when killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use bioxen_xapi_pool::{Fault, Options, Pool};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::caller::{Caller, until};

const DRIVE_BYTES: u64 = 2 << 20;

/// A pool with guests, who calls it, and keys; nothing where guests cannot run.
struct Lab {
    pool: Pool,
    caller: Caller,
    folder: TempDir,
}

impl Lab {
    fn new() -> Option<Self> {
        let options = Options { guests: true, ..Options::default() };
        if let Err(why) = Pool::guests_can_run(&options) {
            eprintln!("skipped: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["key", "host"] {
            let mut make = Command::new("ssh-keygen");
            make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(folder.path().join(name));
            assert!(make.status().expect("ssh-keygen runs").success());
        }
        let pool = Pool::start(options).expect("a pool");
        let caller = Caller::new(&pool);
        Some(Self { pool, caller, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).expect("a file")
    }

    /// What cloud-init is to do: our key to log in, our key for the host.
    fn user_data(&self) -> String {
        let host: String = self.read("host").lines().map(|line| format!("    {line}\n")).collect();
        let key = self.read("key.pub");
        format!(
            "#cloud-config\nssh_authorized_keys: ['{}']\nssh_keys:\n  ed25519_private: |\n{host}",
            key.trim()
        )
    }

    /// A VM with a NoCloud drive.
    fn vm_with_drive(&self, name: &str) -> String {
        let vm = self.caller.new_vm(name);
        let storage = self.caller.call("SR.get_all", &[]).expect("a list")[0].clone();
        let record = json!({
            "name_label": "seed", "SR": storage, "virtual_size": DRIVE_BYTES, "type": "user", "sharable": false,
            "read_only": false, "other_config": {},
        });
        let disk = self.caller.text("VDI.create", &[record]);
        let path = format!("/import_raw_vdi?session_id={}&vdi={disk}&format=raw", self.caller.session);
        let drive = drive(&self.user_data());
        let (status, _) =
            self.caller.request("PUT", &path, "application/octet-stream", &drive).expect("an answer");
        assert_eq!(status, 200);
        let record = json!({
            "VM": vm, "VDI": disk, "userdevice": "3", "bootable": false, "mode": "RO", "type": "Disk",
            "empty": false, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {},
        });
        self.caller.text("VBD.create", &[record]);
        vm
    }

    fn start(&self, vm: &str) {
        let all = [json!(vm), json!(false), json!(false)];
        self.caller.wait("VM.start", &all).expect("started");
    }

    fn networks(&self, vm: &str) -> Json {
        until("the guest is up", || {
            let metrics = self.caller.text("VM.get_guest_metrics", &[json!(vm)]);
            (metrics != "OpaqueRef:NULL").then(|| {
                self.caller.call("VM_guest_metrics.get_networks", &[json!(metrics)]).expect("networks")
            })
        })
    }

    fn address(&self, vm: &str) -> String {
        self.networks(vm)["0/ip"].as_str().expect("an address").to_owned()
    }

    /// Runs `command` in the guest, whose host key must be the one that we gave.
    fn ssh(&self, address: &str, command: &str, patience_s: u32) -> Output {
        self.command(address, command, patience_s).output().expect("ssh runs")
    }

    fn command(&self, address: &str, command: &str, patience_s: u32) -> Command {
        let known = self.file("known");
        std::fs::write(&known, format!("{address} {}", self.read("host.pub"))).expect("written");
        let mut ssh = Command::new("ssh");
        ssh.arg("-i").arg(self.file("key"));
        for option in [
            format!("UserKnownHostsFile={}", known.display()),
            "StrictHostKeyChecking=yes".to_owned(),
            "HostKeyAlgorithms=ssh-ed25519".to_owned(),
            "BatchMode=yes".to_owned(),
            format!("ConnectTimeout={patience_s}"),
        ] {
            ssh.args(["-o", &option]);
        }
        ssh.arg(format!("bioxen@{address}")).arg(command).stdin(Stdio::null());
        ssh
    }

    fn says(&self, address: &str, command: &str) -> String {
        let told = self.ssh(address, command, 30);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).expect("text").trim().to_owned()
    }
}

/// A FAT file system as NoCloud has it.
fn drive(user_data: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(DRIVE_BYTES).expect("a length");
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(file.as_file(), options).expect("formatted");
    let system = fatfs::FileSystem::new(file.as_file(), fatfs::FsOptions::new()).expect("a system");
    for (name, text) in [("user-data", user_data), ("meta-data", "instance-id: a\n")] {
        let mut entry = system.root_dir().create_file(name).expect("an entry");
        entry.write_all(text.as_bytes()).expect("written");
    }
    system.unmount().expect("unmounted");
    std::fs::read(file.path()).expect("a file")
}

fn is_there(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

/// The process on this machine whose arguments have `mark`.
fn find_process(mark: &str) -> Option<String> {
    let all = std::fs::read_dir("/proc").expect("processes").flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut numbers = names.filter(|name| name.parse::<u32>().is_ok());
    numbers.find(|process| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(mark)
    })
}

fn state_of(process: &str) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map(|(_, rest)| rest.chars().take(1).collect()).unwrap_or_default()
}

#[test]
fn a_guest_has_the_keys_of_its_drive_and_files_of_its_own() {
    let Some(lab) = Lab::new() else { return };
    let (first, second) = (lab.vm_with_drive("first"), lab.vm_with_drive("second"));
    lab.start(&first);
    lab.start(&second);
    let (at_first, at_second) = (lab.address(&first), lab.address(&second));
    assert_ne!(at_first, at_second);
    assert_eq!(lab.says(&at_first, "id -un; echo mine > file; mkdir -p ~/bin; cat file"), "bioxen\nmine");
    assert_eq!(lab.says(&at_second, "test -e file || echo none"), "none");
    // Off and on: what stands on a disk stays.
    lab.caller.wait("VM.hard_shutdown", &[json!(first)]).expect("halted");
    lab.start(&first);
    assert_eq!(lab.says(&lab.address(&first), "cat file"), "mine");
}

#[test]
fn a_paused_guest_stands_still_with_every_process_and_a_killed_one_is_gone_with_every_process() {
    let Some(lab) = Lab::new() else { return };
    let vm = lab.vm_with_drive("a cell");
    lab.start(&vm);
    let address = lab.address(&vm);
    let mark = format!("{}.25", 100_000 + std::process::id());
    // A session of its own does not save it.
    lab.says(&address, &format!("setsid sleep {mark} > /dev/null 2>&1 < /dev/null & echo on"));
    let process = until("it runs", || find_process(&mark));
    lab.caller.wait("VM.pause", &[json!(vm)]).expect("paused");
    assert_eq!(state_of(&process), "T");
    assert!(!lab.ssh(&address, "true", 1).status.success(), "a paused guest says nothing");
    lab.caller.wait("VM.unpause", &[json!(vm)]).expect("unpaused");
    assert_eq!(lab.says(&address, "echo there"), "there");
    lab.caller.wait("VM.suspend", &[json!(vm)]).expect("suspended");
    assert_eq!(state_of(&process), "T");
    lab.caller.wait("VM.resume", &[json!(vm), json!(false), json!(false)]).expect("resumed");
    assert_eq!(lab.says(&address, "echo there"), "there");
    lab.caller.wait("VM.hard_shutdown", &[json!(vm)]).expect("halted");
    assert!(!is_there(&process), "it outlived its guest");
    assert!(!lab.ssh(&address, "true", 1).status.success());
}

#[test]
fn the_program_for_guests_is_copied_in_and_greets() {
    let Some(lab) = Lab::new() else { return };
    // Beside the folder of the test's own program.
    let built = std::env::current_exe().expect("a path").with_file_name("../bioxen-guest");
    let Ok(program) = std::fs::read(&built) else {
        eprintln!("skipped: {} is not built; `cargo build --release --workspace --bins`", built.display());
        return;
    };
    let vm = lab.vm_with_drive("a cell");
    lab.start(&vm);
    let address = lab.address(&vm);
    let mut copy = lab.command(&address, "cat > bioxen-guest && chmod 700 bioxen-guest", 30);
    let mut copy = copy.stdin(Stdio::piped()).spawn().expect("ssh runs");
    copy.stdin.take().expect("a pipe").write_all(&program).expect("copied");
    assert!(copy.wait().expect("it ends").success());
    let told = lab.ssh(&address, "./bioxen-guest < /dev/null", 30);
    let said = String::from_utf8_lossy(&told.stdout);
    assert!(said.contains("version"), "{said:?}: {}", String::from_utf8_lossy(&told.stderr));
    eprintln!("{said:?}");
}

#[test]
fn every_guest_ends_with_its_pool() {
    let Some(lab) = Lab::new() else { return };
    let vm = lab.vm_with_drive("a cell");
    lab.start(&vm);
    let mark = format!("{}.75", 100_000 + std::process::id());
    lab.says(&lab.address(&vm), &format!("setsid sleep {mark} > /dev/null 2>&1 < /dev/null & echo on"));
    let process = until("it runs", || find_process(&mark));
    drop(lab);
    assert!(!is_there(&process), "it outlived its pool");
}

#[test]
fn a_guest_comes_up_wrong_on_demand() {
    let Some(lab) = Lab::new() else { return };
    let started = |fault: Fault| {
        let vm = lab.vm_with_drive("a cell");
        lab.pool.inject(fault, 1);
        lab.start(&vm);
        vm
    };
    let vm = started(Fault::NoAddress);
    assert_eq!(lab.networks(&vm), json!({}));
    let vm = started(Fault::WrongHostKey);
    let told = lab.ssh(&lab.address(&vm), "true", 30);
    let complaint = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(complaint.contains("Host key verification failed"), "{complaint}");
    let vm = started(Fault::SshdHangs);
    let told = lab.ssh(&lab.address(&vm), "true", 1);
    let complaint = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(complaint.contains("timed out"), "{complaint}");
    let vm = started(Fault::NoTools);
    let error = lab.caller.wait("VM.clean_shutdown", &[json!(vm)]).expect_err("nobody listens");
    assert_eq!(error, ["VM_LACKS_FEATURE", &vm]);
    assert_eq!(lab.pool.guests().len(), 4);
}

#[test]
fn a_start_forgets_where_the_guest_was_before() {
    let Some(lab) = Lab::new() else { return };
    let vm = lab.vm_with_drive("a cell");
    lab.start(&vm);
    let before = lab.address(&vm);
    lab.caller.wait("VM.clean_shutdown", &[json!(vm)]).expect("halted");
    // Until it starts again, the old address stands there.
    assert_eq!(lab.networks(&vm)["0/ip"], json!(before));
    lab.pool.inject(Fault::NoAddress, 1);
    lab.start(&vm);
    assert_eq!(lab.networks(&vm), json!({}));
}
