//! One SSH connection to a guest: made, host key compared, logged in, ended. It runs nothing there.

use std::borrow::Cow;
use std::net::Shutdown;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{self, AuthResult, Config, DisconnectReason, Handle, Handler};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Disconnect, MethodSet, Preferred};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::deadline::Deadline;
use super::{SshFault, Stop, Target};

/// Between two attempts: a guest that starts refuses for a while.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// A guest that is gone is noticed after this times one more than `KEEPALIVES_MOST`.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVES_MOST: usize = 3;
/// Bounds what keepalives do not: a write that the other side takes nothing of. Answers to keepalives are activity.
const INACTIVITY_MOST: Duration = Duration::from_secs(90);
/// For an end in good order; after it the socket is shut.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// A connection that is logged in. Dropped, it is cut.
pub(super) struct Connection {
    handle: Handle<Known>,
    why: Arc<OnceLock<String>>,
    /// Last: what runs the connection notices that it is cut.
    _socket: Socket,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("ended", &self.why.get()).finish_non_exhaustive()
    }
}

/// Shuts the connection whoever else holds a part of it, and whatever a half-done attempt left running.
struct Socket(std::net::TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be shut already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Why an attempt came to nothing.
enum Failed {
    /// The next one may not.
    Passing(String),
    Final(SshFault),
}

impl Connection {
    /// # Errors
    /// Nothing that speaks SSH within the deadline, however often it was tried; what trying again does not mend, at once.
    pub(super) async fn open(target: &Target<'_>, deadline: Deadline) -> Result<Self, SshFault> {
        let expected = PublicKey::from_openssh(target.host_key)
            .map_err(|error| SshFault::UnknownHostKey { what: error.to_string() })?;
        loop {
            let limit = deadline.but_within(target.ssh_timeout);
            let what = match limit.bound("", attempt(target, &expected)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(Failed::Final(fault))) => return Err(fault),
                Ok(Err(Failed::Passing(what))) => what,
                Err(_) => "no answer".to_owned(),
            };
            deadline.pause(RETRY_DELAY).await;
            if deadline.passed() {
                return Err(SshFault::Unreachable {
                    address: target.address,
                    seconds: deadline.seconds(),
                    what,
                });
            }
        }
    }

    pub(super) fn handle(&self) -> &Handle<Known> {
        &self.handle
    }

    /// Why something stopped, with why the connection ended where it did.
    pub(super) fn words(&self, stop: &Stop) -> String {
        match (stop, self.why.get()) {
            (Stop::Closed, Some(why)) => format!("{stop} ({why})"),
            _ => stop.to_string(),
        }
    }

    pub(super) async fn close(mut self) {
        let closing = async {
            // One that has ended already needs no goodbye.
            if self.handle.disconnect(Disconnect::ByApplication, "", "").await.is_ok() {
                let _ = (&mut self.handle).await;
            }
        };
        let _ = timeout(CLOSE_TIME, closing).await;
    }
}

async fn attempt(target: &Target<'_>, expected: &PublicKey) -> Result<Connection, Failed> {
    let failed = |error| sorted(target, expected, error);
    let stream = TcpStream::connect(target.address).await.map_err(passing)?;
    stream.set_nodelay(true).map_err(passing)?;
    let stream = stream.into_std().map_err(passing)?;
    let socket = Socket(stream.try_clone().map_err(passing)?);
    let stream = TcpStream::from_std(stream).map_err(passing)?;
    let why = Arc::new(OnceLock::new());
    let known = Known { expected: expected.clone(), why: Arc::clone(&why) };
    let mut handle = client::connect_stream(config(expected), stream, known).await.map_err(failed)?;
    let key = PrivateKeyWithHashAlg::new(target.key.private(), None);
    let answer = handle.authenticate_publickey(target.user, key).await.map_err(|e| failed(e.into()))?;
    match answer {
        AuthResult::Success => Ok(Connection { handle, why, _socket: socket }),
        // So is told that the connection ended meanwhile.
        AuthResult::Failure { remaining_methods, .. } if remaining_methods == MethodSet::empty() => {
            Err(Failed::Passing("the connection ended during the login".to_owned()))
        }
        AuthResult::Failure { .. } => Err(Failed::Final(SshFault::Login { user: target.user.to_owned() })),
    }
}

fn config(expected: &PublicKey) -> Arc<Config> {
    Arc::new(Config {
        // Only the kind that we gave it: else it would show another of its keys.
        preferred: Preferred { key: Cow::Owned(vec![expected.algorithm()]), ..Preferred::default() },
        keepalive_interval: Some(KEEPALIVE_INTERVAL),
        keepalive_max: KEEPALIVES_MOST,
        inactivity_timeout: Some(INACTIVITY_MOST),
        ..Config::default()
    })
}

fn passing(error: std::io::Error) -> Failed {
    Failed::Passing(error.to_string())
}

fn sorted(target: &Target<'_>, expected: &PublicKey, broken: Broken) -> Failed {
    use russh::Error;
    let other_key = |shown: String| {
        Failed::Final(SshFault::HostKey { address: target.address, shown, expected: fingerprint(expected) })
    };
    match broken {
        Broken::HostKey(shown) => other_key(shown),
        Broken::Ssh(Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }) => {
            other_key(format!("of no {} kind", expected.algorithm()))
        }
        Broken::Ssh(
            error @ (Error::IO(_)
            | Error::Disconnect
            | Error::HUP
            | Error::ConnectionTimeout
            | Error::KeepaliveTimeout
            | Error::InactivityTimeout
            | Error::SendError
            | Error::RecvError
            | Error::Join(_)),
        ) => Failed::Passing(error.to_string()),
        Broken::Ssh(error) => Failed::Final(SshFault::Protocol { what: error.to_string() }),
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Takes the one host key that it was told of.
#[derive(Debug)]
pub(super) struct Known {
    expected: PublicKey,
    why: Arc<OnceLock<String>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the host key is {0}")]
    HostKey(String),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

impl Handler for Known {
    type Error = Broken;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } if key.key_data() == self.expected.key_data() => {
                Ok(true)
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => Err(Broken::HostKey(fingerprint(key))),
            PublicKeyOrCertificate::Certificate(_) => Err(Broken::HostKey("in a certificate".to_owned())),
        }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Broken>) -> Result<(), Broken> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(info) => info.message.clone(),
            DisconnectReason::Error(error) => error.to_string(),
        };
        // Set once, for a connection ends once.
        let _ = self.why.set(why);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}
