//! Bounded queues, one a user, drained round-robin: nobody's flood delays another, one user's order is kept.

use std::collections::{BTreeMap, VecDeque};

use bioxen_protocol::id::UserId;
use bioxen_protocol::limits::{INTAKE_PER_USER, INTAKE_USERS};

/// Waiting items of all users.
#[derive(Debug)]
pub(crate) struct FairQueues<T> {
    by_user: BTreeMap<UserId, VecDeque<T>>,
    /// Users with waiting items, the next one first.
    turn: VecDeque<UserId>,
    /// Items that found their queue full since it was last asked.
    refused: BTreeMap<UserId, u64>,
    waiting: usize,
}

impl<T> FairQueues<T> {
    pub(crate) fn new() -> Self {
        Self { by_user: BTreeMap::new(), turn: VecDeque::new(), refused: BTreeMap::new(), waiting: 0 }
    }

    /// Takes an item, or gives it back where the user's queue is full.
    pub(crate) fn push(&mut self, user: &UserId, item: T) -> Result<(), T> {
        let users = self.by_user.len();
        let full = match self.by_user.get(user) {
            Some(queue) => queue.len() >= INTAKE_PER_USER,
            None => users >= INTAKE_USERS,
        };
        if full {
            if self.refused.len() < INTAKE_USERS || self.refused.contains_key(user) {
                *self.refused.entry(user.clone()).or_default() += 1;
            }
            return Err(item);
        }
        let queue = self.by_user.entry(user.clone()).or_default();
        if queue.is_empty() {
            self.turn.push_back(user.clone());
        }
        queue.push_back(item);
        self.waiting += 1;
        Ok(())
    }

    /// The next item in turn.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let user = self.turn.pop_front()?;
        let queue = self.by_user.get_mut(&user)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.by_user.remove(&user);
        } else {
            self.turn.push_back(user);
        }
        self.waiting = self.waiting.saturating_sub(1);
        item
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// How many items of each user were refused since the last call.
    pub(crate) fn take_refused(&mut self) -> BTreeMap<UserId, u64> {
        std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_delays_nobody_else_and_each_users_order_is_kept() {
        let (a, b): (UserId, UserId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut queues = FairQueues::new();
        for number in 0..3 {
            queues.push(&a, number).unwrap();
        }
        queues.push(&b, 10).unwrap();
        let order: Vec<_> = std::iter::from_fn(|| queues.pop()).collect();
        assert_eq!(order, [0, 10, 1, 2]);
    }

    #[test]
    fn a_full_queue_refuses_and_counts() {
        let (a, b): (UserId, UserId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let mut queues = FairQueues::new();
        for number in 0..INTAKE_PER_USER + 3 {
            let taken = queues.push(&a, number).is_ok();
            assert_eq!(taken, number < INTAKE_PER_USER);
        }
        assert!(queues.push(&b, 0).is_ok());
        assert_eq!(queues.take_refused(), BTreeMap::from([(a, 3)]));
    }
}
