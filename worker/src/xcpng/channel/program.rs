//! The guest's program: copied into a guest that has none or another, and started there.
//!
//! With its packs it is one archive, which stands unpacked in `~/.bioxen/guest-DIGEST/` under the digest of its bytes: so
//! what runs is what the worker has, whoever else copies something in meanwhile. The commands below are all that is ever
//! run in a guest; only a digest is put into them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bioxen_guest::agent::Hello;
use bioxen_hypervisor::PACK_FILES;
use sha2::{Digest, Sha256};

use super::super::fault::XcpngError;
use super::SshFault;
use super::connection::Connection;
use super::pipe::{Pipe, Stop};

/// The worker's own `bioxen-guest` and its chassis packs, as an archive (tar).
#[derive(Clone)]
pub struct Program {
    archive: Arc<[u8]>,
    digest: String,
}

/// Starts the program in the place of the shell, so that its end is told as it is. Beside it somebody watches sshd's
/// process: where the connection ends, the program is ended with all that it started, also when it does not read.
const RUN: &str = r#"exec sh -c 'there="$HOME/.bioxen/guest-DIGEST"
[ -x "$there/bioxen-guest" ] || { echo "it is not there" >&2; exit 127; }
[ -d "$there/packs" ] && set -- "$there/packs"
sshd=$PPID
(while kill -0 "$sshd"; do sleep 1; done; kill -KILL 0) </dev/null >/dev/null 2>&1 &
exec "$there/bioxen-guest" agent "$@"'"#;

/// Takes the archive from its input. It gets its name only when it is there to the last byte; older ones go then.
/// What it gives up is removed before anything is said: where the connection broke, words end the shell.
const INSTALL: &str = r#"exec sh -c 'umask 077
folder="$HOME/.bioxen"
there="$folder/guest-DIGEST"
part="$folder/part.$$"
give_up() { rm -rf "$part" "$part.tar"; echo "$1" >&2; exit 1; }
mkdir -p "$part" && cat >"$part.tar" || give_up "it cannot be written"
[ "$(sha256sum <"$part.tar" | cut -c 1-64)" = DIGEST ] || give_up "what arrived is not what was sent"
tar -x -f "$part.tar" -C "$part" || give_up "it cannot be unpacked"
rm -rf "$there" && mv "$part" "$there" || give_up "it cannot be put in its place"
rm -f "$part.tar"
for other in "$folder"/guest-*; do
    [ "$other" = "$there" ] || rm -rf "$other"
done'"#;
const DIGEST: &str = "DIGEST";

const PROGRAM: &str = "bioxen-guest";
const PACKS: &str = "packs";
const PROGRAM_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

impl Program {
    /// The program, and a folder of chassis packs beyond its own where the worker has one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(program: &Path, packs: Option<&Path>) -> Result<Self, XcpngError> {
        let bytes = std::fs::read(program).map_err(unread(program))?;
        let packs = packs.map_or_else(|| Ok(BTreeMap::new()), pack_files)?;
        Self::new(&bytes, &packs).map_err(unread(program))
    }

    /// Of a program's bytes and packs' files, by their paths below the folder of packs.
    ///
    /// # Errors
    /// A path that an archive does not take.
    pub fn new(program: &[u8], packs: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<Self> {
        let mut archive = tar::Builder::new(Vec::with_capacity(program.len()));
        append(&mut archive, Path::new(PROGRAM), program, PROGRAM_MODE)?;
        for (path, bytes) in packs {
            append(&mut archive, &Path::new(PACKS).join(path), bytes, FILE_MODE)?;
        }
        let archive: Arc<[u8]> = archive.into_inner()?.into();
        let digest = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { archive, digest })
    }

    /// SHA-256 of program and packs, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Neither time nor owner: the same files have the same digest, whoever reads them.
fn append(archive: &mut tar::Builder<Vec<u8>>, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, bytes)
}

/// The packs' files, as [`bioxen_packs::load`] looks for them.
fn pack_files(packs: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, XcpngError> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(packs).map_err(unread(packs))? {
        let folder = entry.map_err(unread(packs))?;
        for name in PACK_FILES {
            let path = folder.path().join(name);
            if path.is_file() {
                let bytes = std::fs::read(&path).map_err(unread(&path))?;
                found.insert(Path::new(&folder.file_name()).join(name), bytes);
            }
        }
    }
    Ok(found)
}

fn unread(path: &Path) -> impl Fn(io::Error) -> XcpngError + '_ {
    |error| XcpngError::Program { path: path.to_owned(), what: error.to_string() }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} bytes, {})", self.archive.len(), self.digest)
    }
}

/// The program, running, and its version. Where it does not say hello it is copied in anew, once: it is missing, or what
/// stands under its name was damaged.
pub(super) async fn start(connection: &Connection, program: &Program) -> Result<(Pipe, String), SshFault> {
    match greet(connection, program).await {
        Err(Silent { stop, .. }) if stop != Stop::Closed => {
            tracing::debug!("bioxen-guest does not run in the guest ({stop}); it is copied in");
        }
        Err(silent) => return Err(silent.fault(connection)),
        Ok(started) => return Ok(started),
    }
    install(connection, program).await.map_err(|silent| silent.fault(connection))?;
    greet(connection, program).await.map_err(|silent| silent.fault(connection))
}

/// A command that did not do what it is for, and its last words.
struct Silent {
    stop: Stop,
    said: String,
}

impl Silent {
    fn fault(self, connection: &Connection) -> SshFault {
        let what = connection.words(&self.stop);
        match self.stop {
            Stop::Closed => SshFault::Ended { what, said: self.said },
            _ => SshFault::Program { what, said: self.said },
        }
    }
}

async fn greet(connection: &Connection, program: &Program) -> Result<(Pipe, String), Silent> {
    let mut pipe = run(connection, RUN, program).await?;
    let hello = match pipe.frame().await {
        Ok(body) => bioxen_guest::decode::<Hello>(&body).map_err(|error| Stop::Garbled(error.to_string())),
        Err(stop) => Err(stop),
    };
    match hello {
        Ok(hello) => Ok((pipe, hello.version)),
        Err(stop) => Err(given_up(pipe, stop).await),
    }
}

async fn install(connection: &Connection, program: &Program) -> Result<(), Silent> {
    let mut pipe = run(connection, INSTALL, program).await?;
    let sent = async {
        pipe.send(program.archive.to_vec()).await?;
        pipe.finish().await
    };
    let stop = match sent.await {
        Ok(()) => pipe.end().await,
        Err(stop) => stop,
    };
    if stop == Stop::Status(0) {
        pipe.close().await;
        return Ok(());
    }
    Err(given_up(pipe, stop).await)
}

async fn run(connection: &Connection, command: &str, program: &Program) -> Result<Pipe, Silent> {
    let command = command.replace(DIGEST, &program.digest);
    Pipe::run(connection, command).await.map_err(|stop| Silent { stop, said: String::new() })
}

async fn given_up(pipe: Pipe, stop: Stop) -> Silent {
    let said = pipe.last_words();
    pipe.close().await;
    Silent { stop, said }
}
