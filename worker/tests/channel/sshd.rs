//! A guest's sshd, on loopback, with a home of its own, and what is left of its processes. It ends with its test.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bioxen_worker::xcpng::channel::{Channel, HostKey, Program, Target, UserKey};
use bioxen_worker::xcpng::{Deadline, XcpngError};
use rustix::process::{Pid, Signal, geteuid, kill_process};

const SSHD: &str = "/usr/sbin/sshd";
/// sshd as root wants a folder that only a booted system has.
const AS_ROOT: &str = "mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd && exec \"$@\"";
const PATIENCE: Duration = Duration::from_secs(30);

/// Speaks frames: says hello, then answers each frame with itself, but for some words that it takes for orders.
pub(crate) const STAND_IN: &str = r#"#!/usr/bin/perl
# NUMBER
use strict; $| = 1; binmode STDIN; binmode STDOUT;
die "expected agent\n" unless @ARGV && $ARGV[0] eq 'agent';
sub frame { print join '', map { pack('N', length $_) . $_ } @_ }
frame("\x81\xa7version\xa6NUMBER");
while ((read(STDIN, my $head, 4) || 0) == 4) {
    read(STDIN, my $body, unpack('N', $head));
    if ($body eq 'leave') { print STDERR 'x' x 600, "no more memory\n"; exit 3 }
    elsif ($body eq 'die') { kill 'KILL', $$ }
    elsif ($body eq 'sleep') { sleep 1000 while 1 }
    elsif ($body eq 'babble') { frame($body, 'and another') }
    elsif ($body eq 'packs') { frame(join '', map { open(my $file, '<', $_); <$file> } <"$ARGV[1]/*/*">) }
    elsif ($body eq 'shout') { print 'Welcome to this guest' }
    else { frame($body) }
}
"#;

/// A stand-in with a digest of its own, so that its processes can be told from another test's.
pub(crate) fn stand_in() -> Program {
    let mut number = [0; 3];
    getrandom::fill(&mut number).unwrap();
    let number: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
    program(&STAND_IN.replace("NUMBER", &number))
}

/// A program without packs.
pub(crate) fn program(script: &str) -> Program {
    Program::new(script.as_bytes(), &BTreeMap::new()).unwrap()
}

pub(crate) struct Sshd {
    pub(crate) address: SocketAddr,
    pub(crate) host_key: HostKey,
    pub(crate) user_key: UserKey,
    pub(crate) user: String,
    pub(crate) folder: tempfile::TempDir,
    process: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        for process in descendants(self.process.id()) {
            signal(process, Signal::KILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sshd {
    /// None where this machine has none, which is said.
    pub(crate) fn start() -> Option<Self> {
        let usable = Path::new(SSHD).exists() && Path::new("/usr/bin/perl").exists();
        if !usable {
            eprintln!("{SSHD} or perl is not installed, so nothing was tried; install openssh-server");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("home")).unwrap();
        let user_key = key(&at("user_key"));
        fs::write(at("authorized_keys"), user_key.public().unwrap()).unwrap();
        let host_key = HostKey::generate().unwrap();
        write_private(&at("host_key"), &private_of(&host_key, &at("user_key")));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let lines = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {home}/host_key\nAuthorizedKeysFile {home}/authorized_keys\n\
             SetEnv HOME={home}/home\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPidFile none\nMaxSessions 2\n",
            address.port(),
            home = folder.path().display(),
        );
        fs::write(at("sshd_config"), lines).unwrap();
        let process = run(&at("sshd_config"), &at("log"));
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let mut sshd = Self { address, host_key, user_key, user, folder, process };
        until("sshd listens", || {
            let ended = sshd.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(sshd.folder.path().join("log")).unwrap());
            TcpStream::connect(address).is_ok()
        });
        Some(sshd)
    }

    pub(crate) fn target<'a>(&'a self, program: &'a Program) -> Target<'a> {
        Target {
            guest: "cell-1",
            address: self.address,
            user: &self.user,
            key: &self.user_key,
            host_key: self.host_key.public(),
            ssh_timeout: Duration::from_secs(20),
            program,
        }
    }

    pub(crate) async fn open(&self, program: &Program) -> Channel {
        self.try_open(program, super::soon()).await.unwrap()
    }

    pub(crate) async fn try_open(
        &self,
        program: &Program,
        deadline: Deadline,
    ) -> Result<Channel, XcpngError> {
        Channel::open(&self.target(program), deadline).await
    }

    /// Where the program is copied to, and what stands there.
    pub(crate) fn installed(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("home/.bioxen")).into_iter().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    /// Stops every session, as a host does that pauses the guest.
    pub(crate) fn freeze(&self) {
        for process in descendants(self.process.id()) {
            signal(process, Signal::STOP);
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        descendants(self.process.id()).len()
    }

    pub(crate) fn nothing_is_left(&self, program: &Program) {
        until("every session ends", || self.sessions() == 0);
        until("every program ends", || processes_of(program).is_empty());
    }
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A new key for a user, in a file.
pub(crate) fn key(path: &Path) -> UserKey {
    let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(done.unwrap().success());
    UserKey::read(path).unwrap()
}

/// The private half as a guest gets it: by way of its seed.
fn private_of(host_key: &HostKey, user_key_path: &Path) -> Vec<u8> {
    use base64::Engine as _;
    let seed = super::keys::seed_of(user_key_path, host_key);
    base64::engine::general_purpose::STANDARD.decode(&seed["host_key"]).unwrap()
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(config: &Path, log: &Path) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if geteuid().is_root() {
        command.args(["unshare", "--mount", "sh", "-c", AS_ROOT, "sshd"]);
    }
    command.args([SSHD, "-D", "-e", "-f"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(log).unwrap());
    command.spawn().unwrap()
}

/// Those whose command line names the program's digest: itself and who watches over it.
pub(crate) fn processes_of(program: &Program) -> Vec<u32> {
    let names = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(program.digest())
    };
    processes().filter(names).collect()
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn descendants(process: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = processes().filter_map(|one| Some((one, parent(one)?))).collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(&one) = found.get(next) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == one).map(|(child, _)| *child));
        next += 1;
    }
    found.split_off(1)
}

/// None where it has ended.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    if words.next()? == "Z" {
        return None;
    }
    words.next()?.parse().ok()
}

pub(crate) fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(process, signal);
    }
}
