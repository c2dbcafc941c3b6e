//! Messages between the leader and this worker as bytes: MessagePack maps, read within limits.
//!
//! What does not decode is an error for the log; nothing here acts on a message.

use std::io::Cursor;

use serde::{Deserialize, Serialize};

use bioxen_protocol::worker::WorkerCommand;

/// One message from the leader: what a nats-server lets through by default.
pub const COMMAND_BYTES: usize = 1024 * 1024;
/// Deeper than any message of ours, shallower than any stack.
const DEPTH: usize = 24;

/// Why bytes are no command of the leader.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    #[error("the message holds {0} bytes; at most {COMMAND_BYTES} are read")]
    Size(usize),
    #[error("the message is not a worker command: {0}")]
    Decode(#[from] rmp_serde::decode::Error),
    #[error("{0} bytes follow the message; nothing may")]
    Trailing(usize),
}

/// Reads a leader's message.
///
/// # Errors
/// Bytes beyond the limits, of another shape, or followed by more.
pub fn decode(bytes: &[u8]) -> Result<WorkerCommand, BadMessage> {
    if bytes.len() > COMMAND_BYTES {
        return Err(BadMessage::Size(bytes.len()));
    }
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(bytes));
    reader.set_max_depth(DEPTH);
    let command = WorkerCommand::deserialize(&mut reader)?;
    let read = usize::try_from(reader.position()).unwrap_or(usize::MAX);
    match bytes.len().saturating_sub(read) {
        0 => Ok(command),
        left => Err(BadMessage::Trailing(left)),
    }
}

/// Writes a message as maps with the fields' names.
///
/// # Errors
/// None for the types of `bioxen_protocol::worker`.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant() -> WorkerCommand {
        WorkerCommand::Grant {
            incarnation: 1,
            epoch: 2,
            heartbeat: 3,
            lease_ms: 3000,
            registration: 4,
            fleet: "f".to_owned(),
        }
    }

    #[test]
    fn a_message_survives_the_round_trip() {
        assert_eq!(decode(&encode(&grant()).unwrap()).unwrap(), grant());
    }

    #[test]
    fn bytes_after_a_message_are_refused() {
        let mut bytes = encode(&grant()).unwrap();
        bytes.push(0xc0);
        assert!(matches!(decode(&bytes), Err(BadMessage::Trailing(1))));
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused_unread() {
        assert!(matches!(decode(&vec![0x90; COMMAND_BYTES + 1]), Err(BadMessage::Size(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_message_is_refused_or_read(at in 0usize..60, byte in any::<u8>()) {
            let mut bytes = encode(&grant()).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes);
        }
    }
}
