//! What can go wrong between a worker and a guest, in words. The guest is named by the error around it.

use std::net::SocketAddr;

/// Why there is no channel to a guest, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshFault {
    #[error(
        "could not be spoken to over SSH at {address} within {seconds} s ({what}); does its template start sshd on ssh_port, and does the network let this worker through?"
    )]
    Unreachable { address: SocketAddr, seconds: u64, what: String },
    #[error(
        "shows the host key {shown} at {address}, expected {expected}; nothing was said to it. Does its template take its host key from the xenstore? Else find out who answers there"
    )]
    HostKey { address: SocketAddr, shown: String, expected: String },
    #[error(
        "has no host key that can be read among its marks on the pool ({what}); destroy the VM, and create it again"
    )]
    UnknownHostKey { what: String },
    #[error(
        "refuses to let {user} in; does its template let ssh_user in with the key in its xenstore, and is that of ssh_key_path?"
    )]
    Login { user: String },
    #[error(
        "speaks SSH in a way that this worker does not ({what}); does its template have a recent OpenSSH?"
    )]
    Protocol { what: String },
    #[error(
        "does not run bioxen-guest: {what}{said}; log in as ssh_user and look at ~/.bioxen, at free space, and that nothing is printed at login"
    )]
    Program { what: String, said: String },
    #[error(
        "runs bioxen-guest {found}, and this worker is {expected}; give the worker the program of its own version (BIOXEN_GUEST, or beside it)"
    )]
    Version { found: String, expected: &'static str },
    #[error("did not answer within {seconds} s{said}; look at the load of the guest and of its host")]
    Late { seconds: u64, said: String },
    #[error("no longer answers: {what}{said}; look at the guest's console and memory if it does so again")]
    Ended { what: String, said: String },
}

impl SshFault {
    /// Whether trying again may help, without anybody changing anything.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Late { .. } | Self::Ended { .. })
    }
}
