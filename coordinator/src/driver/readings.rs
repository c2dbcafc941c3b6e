//! Reads: answered from the state that they were read on, once that is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;

use bioxen_protocol::error::ErrorBody;
use bioxen_protocol::id::{VmId, VmKey};
use bioxen_protocol::reply::{OperationStatistics, Performance};

use super::{Driver, State};
use crate::answer::advice::Advised;
use crate::answer::outbox::Outgoing;
use crate::answer::{Reply, errors, reads};
use crate::cell;
use crate::fleet::ensemble::Ensemble;
use crate::fleet::rejection::Rejection;
use crate::fleet::vm::Vm;
use crate::intake::{Incoming, Read};

impl Driver {
    pub(super) fn read(&mut self, state: &mut State, incoming: Incoming, read: Read) {
        let outgoing = self.reading(&incoming, read);
        let refused = outgoing.as_ref().err().map(|error| error.code);
        self.stats.note(incoming.verb, incoming.received, refused);
        let outgoing =
            outgoing.unwrap_or_else(|error| Outgoing::Reply(incoming.reply_to, Reply::Error(error)));
        state.filling.effects.push(outgoing);
    }

    fn reading(&self, incoming: &Incoming, read: Read) -> Result<Outgoing, ErrorBody> {
        let to = incoming.reply_to.clone();
        let fleet = &self.fleet;
        let reply = match read {
            Read::Status { vm, wait } => {
                if let Some(ensemble) = self.ensemble(incoming, &vm) {
                    let status = Reply::EnsembleStatus(Box::new(reads::ensemble_status(ensemble)));
                    return Ok(Outgoing::Reply(to, status));
                }
                let vm = self.find(incoming, &vm)?;
                let queue_position = fleet.queue_position(&vm.key);
                return Ok(Outgoing::Status { reply_to: to, vm, queue_position, wait });
            }
            Read::Metrics(vm) => return Ok(Outgoing::Metrics(to, self.find(incoming, &vm)?)),
            Read::Results(name, ask) => {
                if let Some(ensemble) = self.ensemble(incoming, &name) {
                    return Ok(Outgoing::Gathered(to, Box::new(ensemble.clone()), ask));
                }
                let key = VmKey { user: incoming.user.clone(), vm: name.clone() };
                return match fleet.end_of_member(&key).filter(|_| fleet.vm(&key).is_none()) {
                    Some(end) => Ok(Outgoing::Ended(to, key, Arc::clone(end), ask)),
                    None => Ok(Outgoing::Results(to, self.find(incoming, &name)?, ask)),
                };
            }
            Read::Resources(vm) => return Ok(Outgoing::Resources(to, self.find(incoming, &vm)?)),
            Read::History { vm, limit } => {
                return Ok(Outgoing::History(to, self.find(incoming, &vm)?, limit));
            }
            Read::EssentialGenes(vm) => {
                let vm = self.find(incoming, &vm)?;
                Reply::Organism(cell::essential_genes(&vm.key, &vm.order)?)
            }
            Read::Plasmids(vm) => return Ok(Outgoing::Plasmids(to, self.find(incoming, &vm)?)),
            Read::Optimize { vm, apply } => {
                let asked = self.advised(incoming, &vm)?;
                return Ok(Outgoing::Optimize { reply_to: to, asked, apply });
            }
            Read::Recommendations(vm) => {
                return Ok(Outgoing::Recommendations(to, self.advised(incoming, &vm)?));
            }
            Read::Events(ask) => return Ok(Outgoing::Events(to, incoming.user.clone(), ask)),
            Read::Audit(ask) => return Ok(Outgoing::Audit(to, incoming.user.clone(), ask)),
            Read::Verify => return Ok(Outgoing::Verify(to)),
            Read::Snapshot => return Ok(Outgoing::Snapshot(to)),
            Read::Backup => return Ok(Outgoing::Backup(to)),
            Read::List(ask) => Reply::List(reads::list(fleet, &incoming.user, &ask)?),
            Read::Quota(user) => Reply::Quota(Box::new(reads::quota(fleet, &user))),
            Read::Fleet => Reply::Fleet(Box::new(reads::totals(fleet))),
            Read::Performance => Reply::Performance(Box::new(self.performance())),
            Read::Workers => Reply::Workers { workers: reads::workers(fleet) },
            Read::Users => {
                Reply::Users { users: fleet.accounts.keys().map(|user| reads::quota(fleet, user)).collect() }
            }
            Read::Config => Reply::Config(fleet.config.clone()),
        };
        Ok(Outgoing::Reply(to, reply))
    }

    fn ensemble(&self, incoming: &Incoming, name: &VmId) -> Option<&Ensemble> {
        self.fleet.ensemble(&VmKey { user: incoming.user.clone(), vm: name.clone() })
    }

    fn find(&self, incoming: &Incoming, vm: &VmId) -> Result<Box<Vm>, ErrorBody> {
        let key = VmKey { user: incoming.user.clone(), vm: vm.clone() };
        let found = self.fleet.vm(&key).cloned().map(Box::new);
        found.ok_or_else(|| errors::error(&Rejection::NotFound { vm: vm.clone() }, incoming.user.as_str()))
    }

    fn advised(&self, incoming: &Incoming, vm: &VmId) -> Result<Advised, ErrorBody> {
        let vm = self.find(incoming, vm)?;
        let most = self.fleet.most_now(&vm);
        Ok(Advised { vm, most, operator: incoming.operator.clone() })
    }

    fn performance(&self) -> Performance {
        let by_verb = self.stats.by_verb();
        let total: u64 = by_verb.values().map(|stats| stats.count).sum();
        let failures: u64 = by_verb.values().map(|stats| stats.failures).sum();
        let share = |part: u64| if total == 0 { 0.0 } else { part as f64 / total as f64 };
        let statistics = by_verb.iter().map(|(verb, stats)| {
            let (count, failures, total_time) = (stats.count, stats.failures, stats.time.as_secs_f64());
            (verb.to_string(), OperationStatistics { count, failures, total_time })
        });
        let used = |used: u64, limit: u64| if limit == 0 { 0.0 } else { used as f64 / limit as f64 };
        let (held, config) = (self.fleet.held, &self.fleet.config);
        Performance {
            total_operations: total,
            success_rate: share(total - failures),
            error_rate: share(failures),
            total_time: by_verb.values().map(|stats| stats.time.as_secs_f64()).sum(),
            vm_operations: by_verb
                .iter()
                .filter(|(verb, _)| verb.needs_vm())
                .map(|(_, stats)| stats.count)
                .sum(),
            operation_statistics: statistics.collect(),
            resource_utilization: BTreeMap::from([
                ("vms".to_owned(), used(held.slots, config.max_concurrent_vms)),
                ("atp".to_owned(), used(held.atp_millipercent, config.global_atp_limit.0)),
                ("ribosomes".to_owned(), used(held.ribosomes, config.global_ribosome_limit)),
            ]),
            uptime_hours: self.stats.started.elapsed().as_secs_f64() / 3600.0,
        }
    }
}
