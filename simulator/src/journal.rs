//! The journal as a stream with an expected sequence: a batch is stored where it says, or not at all.

use std::sync::Arc;

use crate::message::{Batch, Message, Node, Out};

/// Batches in one answer.
const READ_AT_ONCE: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    batches: Vec<Arc<Batch>>,
}

impl Journal {
    /// Answers one message; the batch that it stored, if it stored one.
    pub(crate) fn receive(&mut self, message: Message, out: &mut Out) -> Option<Arc<Batch>> {
        match message {
            Message::Append { from, batch } => {
                let stored = batch.sequence == self.batches.len() as u64 + 1;
                out.push((Node::Coordinator(from), Message::Appended { id: batch.id, stored }));
                if stored {
                    self.batches.push(Arc::clone(&batch));
                    return Some(batch);
                }
            }
            Message::Read { from, after } => {
                let after = usize::try_from(after).unwrap_or(usize::MAX);
                let rest = self.batches.get(after..).unwrap_or_default();
                let batches = rest.iter().take(READ_AT_ONCE).cloned().collect();
                out.push((Node::Coordinator(from), Message::Batches(batches)));
            }
            _ => {}
        }
        None
    }
}
