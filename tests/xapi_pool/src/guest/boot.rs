//! How a guest starts: what stands on its disk before, and the command that makes it.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::cloud::Seed;
use super::{Boot, FIRST_GUEST, Subnet};
use crate::options::Options;

/// Mounts the disk (`$1`) over the host's files, with `$2` for the file system's work, at `$3`, moves there for good (in
/// a chroot a guest could make no namespaces of its own), and becomes sshd.
const BOOT: &str = r#"set -e
mount -t overlay overlay -o "lowerdir=/,upperdir=$1,workdir=$2" "$3"
mount -t proc proc "$3/proc"
mount --rbind /dev "$3/dev"
mount -t tmpfs -o mode=1777 tmpfs "$3/tmp"
mount -t tmpfs -o mode=755 tmpfs "$3/run"
mkdir "$3/run/sshd"
cd "$3"
mkdir -p .before
pivot_root . .before
umount -l /.before
rmdir /.before
exec $4"#;

const SSHD: &str = "/usr/sbin/sshd";
const FIRST_USER: u32 = 60_001;
const HOMES: &str = "/home";

/// Whether guests can run on this machine, with their files in `folder`.
///
/// # Errors
/// Why not, and what to do.
pub(crate) fn can_run(folder: &Path, port: u16) -> Result<(), String> {
    if !Path::new(SSHD).exists() {
        return Err(format!("{SSHD} is missing; install Debian's openssh-server"));
    }
    let trial = folder.join("trial");
    let folders = ["root", "work", "mnt"].map(|name| trial.join(name));
    for folder in &folders {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let done = command(&folders, "/bin/true").output().map_err(|error| format!("setpriv: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        return Err(format!("guests need root and namespaces of their own to mount in: {said}"));
    }
    let subnet = Subnet::take().map_err(|error| format!("addresses of 127/8: {error}"))?;
    let address = subnet.address(FIRST_GUEST);
    match TcpListener::bind(format!("{address}:{port}")) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("port {port} at {address}, which guests need: {error}")),
    }
}

/// Prepares the disk and starts the guest.
///
/// # Errors
/// Files that cannot be written, programs that cannot be started.
pub(super) fn start(boot: &Boot, address: &str, options: &Options, folder: &Path) -> io::Result<Child> {
    let root = boot.disk.join("root");
    let folders = [root.clone(), folder.join("work"), folder.join("mnt")];
    for folder in &folders {
        fs::create_dir_all(folder)?;
    }
    let mut seed = Seed::of_xenstore(&boot.xenstore);
    for image in &boot.images {
        seed.add_image(image);
    }
    prepare(&root, &seed, boot, address, options)?;
    let log = fs::File::create(folder.join("sshd.log"))?;
    let mut command = command(&folders, &format!("{SSHD} -D -e -f /etc/ssh/guest_sshd_config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
}

fn command(folders: &[PathBuf; 3], program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]);
    command.args(["sh", "-c", BOOT, "guest"]).args(folders).arg(program);
    command
}

/// Writes what a first boot writes, and what it is handed.
fn prepare(root: &Path, seed: &Seed, boot: &Boot, address: &str, options: &Options) -> io::Result<()> {
    let ssh = root.join("etc/ssh");
    fs::create_dir_all(ssh.join("authorized_keys"))?;
    let mut users = vec![options.guest_user.clone()];
    users.extend(seed.users.iter().filter(|user| **user != options.guest_user).cloned());
    write_users(root, &users)?;
    for user in users.iter().map(String::as_str).chain(["root"]) {
        let keys: Vec<_> = seed.keys_of(user, &options.guest_user).collect();
        fs::write(ssh.join("authorized_keys").join(user), keys.join("\n") + "\n")?;
    }
    let key = ssh.join("guest_host_key");
    match &seed.host_key {
        Some(given) if !boot.manner.wrong_host_key => fs::write(&key, given.trim_end().to_owned() + "\n")?,
        _ if key.exists() && !boot.manner.wrong_host_key => {}
        _ => generate(&key)?,
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    for (path, bytes, mode) in &seed.files {
        let path = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
    }
    fs::write(ssh.join("guest_sshd_config"), configuration(address, options.ssh_port))
}

fn configuration(address: &str, port: u16) -> String {
    format!(
        "Port {port}\nListenAddress {address}\nHostKey /etc/ssh/guest_host_key\n\
         AuthorizedKeysFile /etc/ssh/authorized_keys/%u\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nUseDNS no\nPidFile none\n\
         Subsystem sftp internal-sftp\n"
    )
}

fn generate(key: &Path) -> io::Result<()> {
    // ssh-keygen asks before it overwrites.
    let _ = fs::remove_file(key);
    let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ssh-keygen: {}", String::from_utf8_lossy(&done.stderr).trim())))
}

/// Users who can log in by key and not otherwise, with homes.
fn write_users(root: &Path, users: &[String]) -> io::Result<()> {
    let etc = root.join("etc");
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n\
                      sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
        .to_owned();
    let mut group = "root:x:0:\nnogroup:x:65534:\n".to_owned();
    let mut shadow = "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n".to_owned();
    for (id, user) in (FIRST_USER..).zip(users.iter().filter(|user| *user != "root")) {
        passwd += &format!("{user}:x:{id}:{id}::{HOMES}/{user}:/bin/sh\n");
        group += &format!("{user}:x:{id}:\n");
        shadow += &format!("{user}:*:19000:0:99999:7:::\n");
        let home = root.join(HOMES.trim_start_matches('/')).join(user);
        fs::create_dir_all(&home)?;
        chown(&home, Some(id), Some(id))?;
    }
    fs::write(etc.join("passwd"), passwd)?;
    fs::write(etc.join("group"), group)?;
    fs::write(etc.join("shadow"), shadow)
}
