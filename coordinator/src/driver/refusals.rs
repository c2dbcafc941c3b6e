//! Refusals are journaled: up to ten a second and user one by one, the rest as one entry with their count.

use std::collections::BTreeMap;

use bioxen_protocol::error::Code;
use bioxen_protocol::id::UserId;
use bioxen_protocol::limits::REFUSALS_PER_SECOND;

use crate::fleet::entry::{Entry, Rejected};

/// A message longer than this is cut: the journal keeps why, not what was sent.
const MESSAGE_CHARS: usize = 300;

/// Users whose counts are journaled in one go: a batch has room for them, and for what it holds already.
const USERS_AT_ONCE: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_user: BTreeMap<UserId, Second>,
}

#[derive(Debug, Default)]
struct Second {
    number: u64,
    journaled: u32,
    counted: u64,
}

impl Refusals {
    /// The entry for a refusal, unless it is only counted.
    pub(super) fn note(&mut self, now_ms: u64, mut rejected: Rejected) -> Vec<Entry> {
        rejected.message = rejected.message.chars().take(MESSAGE_CHARS).collect();
        let mut entries = Vec::new();
        let second = self.by_user.entry(rejected.user.clone()).or_default();
        if second.number != now_ms / 1000 {
            entries.extend(counted(&rejected.user, second.counted));
            *second = Second { number: now_ms / 1000, ..Second::default() };
        }
        if second.journaled < REFUSALS_PER_SECOND {
            second.journaled += 1;
            entries.push(Entry::Rejected(Box::new(rejected)));
        } else {
            second.counted += 1;
        }
        entries
    }

    /// Refusals that never reached the driver: full queues.
    pub(super) fn note_unseen(&mut self, now_ms: u64, user: UserId, count: u64) {
        let second = self.by_user.entry(user).or_default();
        if second.counted == 0 && second.journaled == 0 {
            second.number = now_ms / 1000;
        }
        second.counted += count;
    }

    /// What was counted in seconds that are over, of some users at a time.
    pub(super) fn take_counted(&mut self, now_ms: u64) -> Vec<Entry> {
        let over = |second: &Second| second.number != now_ms / 1000;
        self.by_user.retain(|_, second| !over(second) || second.counted > 0);
        let due = self.by_user.iter().filter(|(_, second)| over(second));
        let users: Vec<UserId> = due.map(|(user, _)| user.clone()).take(USERS_AT_ONCE).collect();
        users
            .into_iter()
            .filter_map(|user| {
                let second = self.by_user.remove(&user)?;
                counted(&user, second.counted)
            })
            .collect()
    }
}

fn counted(user: &UserId, count: u64) -> Option<Entry> {
    (count > 0).then(|| {
        Entry::Rejected(Box::new(Rejected {
            user: user.clone(),
            operator: None,
            verb: None,
            vm: None,
            code: Code::QuotaExceeded,
            request_id: None,
            message: format!("refusals beyond {REFUSALS_PER_SECOND} in one second"),
            count,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Rejected {
        let user = "alice".parse().unwrap();
        let (code, message) = (Code::VmNotFound, "no".to_owned());
        Rejected { user, operator: None, verb: None, vm: None, code, request_id: None, message, count: 1 }
    }

    #[test]
    fn the_eleventh_refusal_of_a_second_is_only_counted() {
        let mut refusals = Refusals::default();
        let one_by_one: usize = (0..25).map(|_| refusals.note(5_000, refusal()).len()).sum();
        assert_eq!(one_by_one, 10);
        assert!(refusals.take_counted(5_999).is_empty());
        let entries = refusals.take_counted(6_000);
        assert!(matches!(entries.as_slice(), [Entry::Rejected(rejected)] if rejected.count == 15));
    }
}
