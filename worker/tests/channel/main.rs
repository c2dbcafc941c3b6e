//! The channel to a guest against Debian's own sshd on loopback: connections, logins, the program copied in, frames,
//! and every way in which it may end. What runs in the guest is a stand-in that speaks frames.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

mod endings;
mod keys;
mod pool;
mod program;
mod sshd;
mod talk;

use std::time::Duration;

use bioxen_worker::xcpng::{Deadline, SshFault, XcpngError};

/// Long enough for anything that works.
pub(crate) fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(60))
}

/// Short, for what never comes.
pub(crate) fn briefly() -> Deadline {
    Deadline::within(Duration::from_secs(1))
}

/// A frame around these bytes.
pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// The fault in a guest's error, which names the guest and says something more.
pub(crate) fn fault<T: std::fmt::Debug>(outcome: Result<T, XcpngError>) -> SshFault {
    match outcome {
        Err(error @ XcpngError::Ssh { .. }) => {
            let body = error.body("lab");
            assert_eq!(body.code.to_string(), "BX018");
            assert!(body.message.contains("pool lab: the guest cell-1 "), "{}", body.message);
            let XcpngError::Ssh { fault, .. } = error else { unreachable!("as matched") };
            fault
        }
        other => panic!("{other:?}"),
    }
}
