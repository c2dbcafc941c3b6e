//! The journal as a stream with an expected sequence: a batch is stored behind the last sequence that it names, or not
//! at all. A nats-server that is killed loses what it had not synced: then the sequences of those messages come again,
//! or, where the stream remembers how far it was, they stay empty.

use std::sync::Arc;
use std::time::Duration;

use bioxen_coordinator::journal::Hash;

use crate::message::{Batch, Message, Node, Out, READ_AT_ONCE};
use crate::random::Random;

/// Batches stored longer ago are synced.
const UNSYNCED: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// With sequence and time.
    stored: Vec<(u64, Duration, Arc<Batch>)>,
    last_sequence: u64,
}

impl Journal {
    /// Answers one message; the batch that it stored, if it stored one.
    pub(crate) fn receive(&mut self, now: Duration, message: Message, out: &mut Out) -> Option<Arc<Batch>> {
        let last = self.last_sequence;
        match message {
            Message::Append { from, batch, expected } => {
                let sequence = (expected == last).then_some(last + 1);
                out.push((Node::Coordinator(from), Message::Appended { id: batch.id, sequence }));
                self.last_sequence = sequence?;
                self.stored.push((self.last_sequence, now, Arc::clone(&batch)));
                return Some(batch);
            }
            Message::Read { from, number, after } => {
                let rest = self.after(after).take(READ_AT_ONCE);
                let batches = rest.collect();
                out.push((Node::Coordinator(from), Message::Batches { number, last, batches }));
            }
            Message::Survey { from, number } => {
                let batches = self.after(0).collect();
                out.push((Node::Coordinator(from), Message::Surveyed { number, last, batches }));
            }
            Message::Look { from, number, sequence } => {
                let ends_with = self.stored.last().map_or(Hash::ZERO, |(.., batch)| batch.hash());
                let found = self.at(sequence);
                out.push((Node::Coordinator(from), Message::Looked { number, last, ends_with, found }));
            }
            _ => {}
        }
        None
    }

    fn at(&self, sequence: u64) -> Option<Hash> {
        let at = self.stored.binary_search_by_key(&sequence, |(at, ..)| *at).ok()?;
        Some(self.stored[at].2.hash())
    }

    fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, Arc<Batch>)> {
        let from = self.stored.partition_point(|(at, ..)| *at <= sequence);
        self.stored[from..].iter().map(|(at, _, batch)| (*at, Arc::clone(batch)))
    }

    /// Loses some of what is not synced; how many batches are left.
    pub(crate) fn lose_tail(&mut self, now: Duration, random: &mut Random) -> usize {
        let synced = self.stored.partition_point(|(_, at, _)| *at + UNSYNCED < now);
        self.stored.truncate(random.between(synced, self.stored.len()));
        if random.in_thousand(500) {
            self.last_sequence = self.stored.last().map_or(0, |(sequence, ..)| *sequence);
        }
        self.stored.len()
    }
}
