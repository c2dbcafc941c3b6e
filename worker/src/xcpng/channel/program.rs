//! The guest's program: copied into a guest that has none or another, and started there.
//!
//! It stands in `~/.bioxen/` under the digest of its bytes, so that what runs is what the worker has, whoever else copies
//! something in meanwhile. The commands below are all that is ever run in a guest; only a digest is put into them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::fault::XcpngError;
use super::connection::Connection;
use super::pipe::{Pipe, Stop};
use super::SshFault;

/// The worker's own `bioxen-guest`, whole.
#[derive(Clone)]
pub struct Program {
    bytes: Arc<[u8]>,
    digest: String,
}

/// The first thing that the program says.
#[derive(Debug, Deserialize)]
struct Hello {
    version: String,
}

/// Starts the program in the place of the shell, so that its end is told as it is. Beside it somebody watches sshd's
/// process: where the connection ends, the program is ended with all that it started, also when it does not read.
const RUN: &str = r#"exec sh -c 'program="$HOME/.bioxen/bioxen-guest-DIGEST"
[ -x "$program" ] || { echo "it is not there" >&2; exit 127; }
sshd=$PPID
(while kill -0 "$sshd"; do sleep 1; done; kill -KILL 0) </dev/null >/dev/null 2>&1 &
exec "$program" agent'"#;

/// Takes the program from its input. It gets its name only when it is there to the last byte; older ones go then.
const INSTALL: &str = r#"exec sh -c 'umask 077
folder="$HOME/.bioxen"
program="$folder/bioxen-guest-DIGEST"
part="$folder/part.$$"
mkdir -p "$folder" && cat >"$part" || { rm -f "$part"; exit 1; }
if [ "$(sha256sum <"$part" | cut -c 1-64)" != DIGEST ]; then
    rm -f "$part"; echo "what arrived is not what was sent" >&2; exit 1
fi
chmod 700 "$part" && mv -f "$part" "$program" || { rm -f "$part"; exit 1; }
for other in "$folder"/bioxen-guest-*; do
    [ "$other" = "$program" ] || rm -f "$other"
done'"#;
const DIGEST: &str = "DIGEST";

impl Program {
    /// # Errors
    /// The file cannot be read.
    pub fn read(path: &Path) -> Result<Self, XcpngError> {
        let bytes = std::fs::read(path).map_err(|error| XcpngError::Program {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        Ok(Self::new(bytes))
    }

    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { bytes, digest }
    }

    /// SHA-256 in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({} bytes, {})", self.bytes.len(), self.digest)
    }
}

/// The program, running, and its version. Where it does not say hello it is copied in anew, once: it is missing, or what
/// stands under its name was damaged.
pub(super) async fn start(
    connection: &Connection,
    program: &Program,
) -> Result<(Pipe, String), SshFault> {
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
        pipe.send(program.bytes.to_vec()).await?;
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
