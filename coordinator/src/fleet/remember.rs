//! What an accepted request is remembered by: its first answer.

use bioxen_protocol::id::{UserId, VmKey};
use bioxen_protocol::state::VmState;

use super::Fleet;
use super::checkpoint::TakenAs;
use super::entry::{Cause, Entry};
use super::idempotency::Remembered;

impl Fleet {
    pub(super) fn remember(&mut self, index: u64, cause: &Cause, key: &VmKey, entry: &Entry) {
        let Some(request) = &cause.request else { return };
        let vm = self.vm(key);
        let (state, queue_position, members) = match entry {
            Entry::Created(created) => (created.answered_state, created.queue_position, None),
            Entry::Ensemble(asked) => (VmState::Queued, None, Some(asked.members)),
            Entry::EnsembleDesired { .. } => (VmState::Destroying, None, None),
            _ => match vm {
                Some(vm) => (vm.state, None, None),
                None => return,
            },
        };
        let remembered = Remembered {
            digest: request.digest.clone(),
            verb: cause.verb,
            vm: Some(key.vm.clone()),
            index,
            time_ms: self.time_ms,
            state,
            allocation: vm.map(|vm| vm.allocation),
            queue_position,
            number: match entry {
                Entry::ProcessStarted { number, .. } => *number,
                Entry::Monitored { interval_seconds, .. } => *interval_seconds,
                Entry::Restored { checkpoint, .. } => checkpoint.0,
                _ => 0,
            },
            members,
            taken: match entry {
                Entry::Checkpointed(entry) => Some(TakenAs::of(&entry.taken)),
                Entry::Restored { tick, .. } => {
                    Some(TakenAs { tick: *tick, bytes: 0, digest: String::new() })
                }
                _ => None,
            },
            installed: match entry {
                Entry::Installed { package, .. } => Some((&**package).into()),
                _ => None,
            },
        };
        let (time_ms, user): (u64, UserId) = (self.time_ms, cause.user.clone());
        let account = self.accounts.entry(user.clone()).or_default();
        let forgotten = account.requests.remember(request.id.clone(), remembered, time_ms);
        let all = std::iter::once(request.id.clone()).chain(forgotten);
        self.touched.requests.extend(all.map(|id| (user.clone(), id)));
    }
}
