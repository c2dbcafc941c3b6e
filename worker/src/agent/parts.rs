//! Observations cut into reports that fit a message. It sends nothing.

use bioxen_protocol::limits::OBSERVATIONS;
use bioxen_protocol::worker::Observation;

/// Bytes of one report, below the smallest payload that a nats-server is set to in practice.
const REPORT_BYTES: usize = 256 * 1024;

/// Splits observations into reports within the limits of number and bytes.
pub(super) fn parts(vms: Vec<Observation>) -> Vec<Vec<Observation>> {
    let mut parts: Vec<Vec<Observation>> = Vec::new();
    let mut bytes = 0;
    for vm in vms {
        let more_bytes = most_bytes(&vm);
        match parts.last_mut() {
            Some(part) if part.len() < OBSERVATIONS && bytes + more_bytes <= REPORT_BYTES => {
                bytes += more_bytes;
                part.push(vm);
            }
            _ => {
                bytes = more_bytes;
                parts.push(vec![vm]);
            }
        }
    }
    parts
}

/// An upper bound of an observation's size in MessagePack, where a byte of a list takes up to two.
fn most_bytes(vm: &Observation) -> usize {
    const REST_BYTES: usize = 384;
    const APPLIED_BYTES: usize = 19;
    REST_BYTES
        + 2 * vm.checkpoint.as_ref().map_or(0, Vec::len)
        + vm.reason.as_ref().map_or(0, String::len)
        + vm.summary.as_ref().map_or(0, String::len)
        + APPLIED_BYTES * vm.applied_at.len()
}

#[cfg(test)]
mod tests {
    use bioxen_protocol::alert::AtpWatch;
    use bioxen_protocol::id::{Generation, VmKey};
    use bioxen_protocol::limits::CHECKPOINT_BYTES;
    use bioxen_protocol::worker::{ObservedState, WorkerReport};

    use super::*;
    use crate::wire;

    fn observation(checkpoint: Option<Vec<u8>>) -> Observation {
        let token = "a".repeat(63);
        Observation {
            key: VmKey { user: token.parse().unwrap(), vm: token.parse().unwrap() },
            generation: Generation { incarnation: u64::MAX, index: u64::MAX },
            state: ObservedState::Completed,
            tick: u64::MAX,
            applied: u64::MAX,
            applied_at: vec![(u64::MAX, u64::MAX); 40],
            checkpoint,
            reason: Some("x".repeat(1000)),
            process: None,
            summary: Some("x".repeat(4000)),
            atp: AtpWatch::default(),
            call_due: None,
        }
    }

    #[test]
    fn reports_stay_within_the_limits_of_number_and_bytes() {
        let full = vec![observation(Some(vec![255; CHECKPOINT_BYTES])); 20];
        let light = vec![observation(None); 600];
        for vms in [full, light] {
            let (count, parts) = (vms.len(), parts(vms));
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), count);
            for vms in parts {
                assert!(vms.len() <= OBSERVATIONS);
                let report = WorkerReport::Observed { incarnation: 1, vms };
                assert!(wire::encode(&report).unwrap().len() <= REPORT_BYTES + 100);
            }
        }
        assert!(parts(Vec::new()).is_empty());
    }
}
