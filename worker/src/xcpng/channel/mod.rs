//! The line to a guest: one SSH connection, one program on it, frames in, frames out.
//!
//! ```text
//!   Target --connection--> host key as expected, logged in --program--> bioxen-guest runs there and said hello
//!   Channel: ask(frame) -> body, as often as wanted, one after the other; then close
//! ```
//!
//! It knows nothing of what is in a frame, the first apart, and asks nothing twice. No command that it has run in a guest
//! holds anything but its own words and a digest. After an error a channel is of no use: it is closed, and another opened.

use std::net::SocketAddr;
use std::time::Duration;

use self::connection::Connection;
pub use self::fault::SshFault;
pub use self::keys::{HostKey, UserKey, seed};
use self::pipe::{Pipe, Stop};
pub use self::program::Program;
use super::deadline::Deadline;
use super::fault::XcpngError;

mod connection;
mod fault;
mod keys;
mod pipe;
mod program;

/// Which guest is to be spoken to, and how it is known.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// As people find it on the pool; stands in errors.
    pub guest: &'a str,
    pub address: SocketAddr,
    pub user: &'a str,
    pub key: &'a UserKey,
    /// The guest's public host key in OpenSSH's form. Another one is not spoken to.
    pub host_key: &'a str,
    /// For one attempt to connect and log in.
    pub ssh_timeout: Duration,
    pub program: &'a Program,
}

/// A program in a guest that answers. Where it is dropped and not closed, its connection is cut, and the program ends
/// within a second or two.
#[derive(Debug)]
pub struct Channel {
    // In this order: the pipe has to be gone before the connection ends.
    pipe: Pipe,
    connection: Connection,
    guest: String,
    version: String,
    /// Neither did a question fail nor was one given up half-way.
    is_usable: bool,
}

impl Channel {
    /// Connects, as often as it takes until the deadline, logs in, and has the program run, which it copies in where it
    /// is missing or another. Small things: 20 ms on a machine of its own; the copy takes as long as the program is.
    ///
    /// # Errors
    /// BX018: nothing answers by the deadline; another host key and a refused login, at once; a program that cannot be
    /// copied in or does not say hello.
    pub async fn open(target: &Target<'_>, deadline: Deadline) -> Result<Self, XcpngError> {
        let wrong = |fault| XcpngError::Ssh { guest: target.guest.to_owned(), fault };
        let connection = Connection::open(target, deadline).await.map_err(wrong)?;
        let started = deadline.bound("", program::start(&connection, target.program)).await;
        let fault = match started {
            Ok(Ok((pipe, version))) => {
                let guest = target.guest.to_owned();
                return Ok(Self { pipe, connection, guest, version, is_usable: true });
            }
            Ok(Err(fault)) => fault,
            Err(_) => SshFault::Late { seconds: deadline.seconds(), said: String::new() },
        };
        connection.close().await;
        Err(wrong(fault))
    }

    /// What the program said of itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Sends a whole frame, head and body, and waits for the body of the one that answers it.
    ///
    /// # Errors
    /// BX018: no whole answer by the deadline; the program or the connection ended; an answer that is no frame. A
    /// channel that failed before, or whose question was given up, refuses.
    pub async fn ask(&mut self, frame: &[u8], deadline: Deadline) -> Result<Vec<u8>, XcpngError> {
        if !std::mem::replace(&mut self.is_usable, false) {
            let what = "a question before this one failed".to_owned();
            return Err(self.wrong(SshFault::Ended { what, said: String::new() }));
        }
        let pipe = &mut self.pipe;
        let asked = deadline
            .bound("", async {
                pipe.send(frame.to_vec()).await?;
                pipe.frame().await
            })
            .await;
        let fault = match asked {
            Ok(Ok(body)) => {
                self.is_usable = true;
                return Ok(body);
            }
            Ok(Err(stop)) => {
                SshFault::Ended { what: self.connection.words(&stop), said: self.pipe.last_words() }
            }
            Err(_) => SshFault::Late { seconds: deadline.seconds(), said: self.pipe.last_words() },
        };
        Err(self.wrong(fault))
    }

    /// That what was said over it makes no sense to this worker. It is of no use any more.
    pub fn garbled(&mut self, what: &dyn std::fmt::Display) -> XcpngError {
        self.is_usable = false;
        self.wrong(SshFault::Ended {
            what: format!("what it said is not understood: {what}"),
            said: String::new(),
        })
    }

    /// Ends the program, and the connection in good order; not longer than a guest that does not answer is waited for.
    pub async fn close(self) {
        self.pipe.close().await;
        self.connection.close().await;
    }

    fn wrong(&self, fault: SshFault) -> XcpngError {
        XcpngError::Ssh { guest: self.guest.clone(), fault }
    }
}
