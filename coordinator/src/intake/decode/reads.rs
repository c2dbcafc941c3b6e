//! Questions: bodies that change nothing.

use bioxen_protocol::codec;
use bioxen_protocol::command::{History, List, Optimize, Plain, Records, Results, Verb, Waiting};
use bioxen_protocol::error::ErrorBody;
use bioxen_protocol::limits::{HISTORY_DEFAULT, HISTORY_SAMPLES};

use super::{Raw, wait};
use crate::intake::Read;
use crate::intake::fields::{field, not_yet};

pub(super) fn read(raw: &Raw) -> Result<Read, ErrorBody> {
    let Raw { caller, verb, vm, body, .. } = raw;
    let vm = || vm.clone().ok_or_else(|| field("vm_id", "the verb needs a VM: name it in the subject"));
    Ok(match verb {
        Verb::List => Read::List(codec::from_value::<List>(body)?),
        Verb::Events => Read::Events(codec::from_value::<Records>(body)?),
        Verb::Audit => Read::Audit(codec::from_value::<Records>(body)?),
        Verb::Results => Read::Results(vm()?, codec::from_value::<Results>(body)?),
        Verb::Status => {
            let body: Waiting = codec::from_value(body)?;
            Read::Status { vm: vm()?, wait: wait(body.wait_ms)? }
        }
        Verb::History => {
            let body: History = codec::from_value(body)?;
            let limit = body.limit.unwrap_or(HISTORY_DEFAULT);
            if !(1..=HISTORY_SAMPLES as u64).contains(&limit) {
                let message = format!("limit is {limit}: expected 1 to {HISTORY_SAMPLES}");
                return Err(field("limit", &message));
            }
            Read::History { vm: vm()?, limit }
        }
        Verb::Optimize => {
            let body: Optimize = codec::from_value(body)?;
            Read::Optimize { vm: vm()?, apply: body.apply }
        }
        verb => {
            let Plain { .. } = codec::from_value(body)?;
            match verb {
                Verb::Resources => Read::Resources(vm()?),
                Verb::Metrics => Read::Metrics(vm()?),
                Verb::Recommendations => Read::Recommendations(vm()?),
                Verb::EssentialGenes => Read::EssentialGenes(vm()?),
                Verb::Plasmids => Read::Plasmids(vm()?),
                Verb::Quota => Read::Quota(caller.user.clone()),
                Verb::Fleet => Read::Fleet,
                Verb::Performance => Read::Performance,
                verb => return Err(not_yet(&format!("the verb {verb}"))),
            }
        }
    })
}
