//! Advice: what the model predicts for other allocations of one VM. It searches steady states, and changes nothing;
//! `optimize` with `apply` then sends `allocate` as any client would.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use bioxen_hypervisor::{Cell, CellSpec, steady_state};
use bioxen_protocol::command::Verb;
use bioxen_protocol::error::{Code, ErrorBody, ErrorReply};
use bioxen_protocol::id::OperatorId;
use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_protocol::quantity::AtpPercent;
use bioxen_protocol::reply::{Optimized, Recommendation, Recommendations, TriedAllocation};
use bioxen_protocol::subject::Subject;
use bioxen_protocol::worker::CellAllocation;

use super::Reply;
use super::live::{self, Predictions};
use crate::cell;
use crate::fleet::vm::Vm;

/// ATP is searched in steps of so many thousandths of a percent.
const ATP_STEP: u64 = 5_000;
/// Ribosome units that are tried, at most: evenly spread.
const RIBOSOME_STEPS: u64 = 15;
/// Growth that counts as no less than now: what a solver's tolerance may hide.
const SAME_GROWTH: f64 = 0.999;
/// A gain below this is what a solver's tolerance may feign, and not worth a change.
const WORTHWHILE_GAIN: f64 = 1.001;
/// Below this and above that percentage of the energy supply a plain warning is given.
const LOW_ATP: u64 = 30_000;
const HIGH_ATP: u64 = 90_000;
const ALLOCATE_ANSWER: Duration = Duration::from_secs(5);

/// The VM, and the most that it could be allocated now: its own most and the room in its user's and the fleet's limits.
#[derive(Debug)]
pub(crate) struct Advised {
    pub(crate) vm: Box<Vm>,
    pub(crate) most: CellAllocation,
    pub(crate) operator: Option<OperatorId>,
}

/// What a search found.
struct Search {
    current: TriedAllocation,
    best: TriedAllocation,
    tried: Vec<TriedAllocation>,
}

impl Search {
    /// Growth per ATP of the best over that of the present allocation.
    fn gain(&self) -> f64 {
        gain(&self.best, &self.current)
    }

    /// Whether something better than the present allocation was found.
    fn is_better(&self) -> bool {
        self.gain() >= WORTHWHILE_GAIN
    }
}

pub(crate) async fn optimize(
    client: &Client,
    predictions: &Arc<Predictions>,
    asked: Advised,
    apply: bool,
) -> Reply {
    let asked = Arc::new(asked);
    let found = match search(client, predictions, &asked).await {
        Ok(found) => found,
        Err(error) => return Reply::Error(error),
    };
    let applied = apply && found.is_better();
    if applied && let Err(error) = allocate(client, &asked, &found.best).await {
        return Reply::Error(error);
    }
    let gain = found.gain();
    let Search { current, best, tried } = found;
    Reply::Optimized(Box::new(Optimized {
        vm_id: asked.vm.key.vm.clone(),
        current,
        best,
        gain,
        tried,
        applied,
    }))
}

pub(crate) async fn recommendations(
    client: &Client,
    predictions: &Arc<Predictions>,
    asked: Advised,
) -> Reply {
    let asked = Arc::new(asked);
    let found = match search(client, predictions, &asked).await {
        Ok(found) => found,
        Err(error) => return Reply::Error(error),
    };
    let (is_better, gain) = (found.is_better(), found.gain());
    let Search { current, best, .. } = found;
    let mut recommendations = Vec::new();
    let atp = asked.vm.allocation.atp_millipercent;
    let warning = |text: String| Recommendation { kind: "warning".to_owned(), text, allocation: None };
    if asked.vm.atp.is_low {
        recommendations.push(warning(format!(
            "atp_level fell to {} at minute {} and has not recovered: the cell is short of energy; allocate more ATP, give it more nutrient, or take load off it",
            asked.vm.atp.level_permille as f64 / 1000.0,
            asked.vm.atp.tick as f64 / TICKS_PER_MINUTE as f64
        )));
    }
    if atp < LOW_ATP {
        recommendations.push(warning(format!(
            "ATP is {} %, below 30 %: the cell is predicted to grow at {:.6} per minute; allocate more if it shall grow faster",
            current.atp_percentage.percent(),
            current.growth_rate_per_min
        )));
    }
    if atp > HIGH_ATP {
        recommendations.push(warning(format!(
            "ATP is {} %, above 90 %: little is left to raise; allocate less where growth allows it",
            current.atp_percentage.percent()
        )));
    }
    let text = if is_better {
        format!(
            "ATP {} % and {} ribosome units are predicted to give {gain:.3} times the growth per ATP, and no less growth: `optimize` with apply allocates them",
            best.atp_percentage.percent(),
            best.ribosomes
        )
    } else {
        "the allocation is the best that the model finds within the limits: nothing to change".to_owned()
    };
    recommendations.push(Recommendation { kind: "allocation".to_owned(), text, allocation: Some(best) });
    let vm_id = asked.vm.key.vm.clone();
    Reply::Recommendations(Box::new(Recommendations { vm_id, current, recommendations }))
}

/// The allocation with the best growth per ATP among those that cost no growth, found by asking the model for the
/// steady state under each of a grid. (Without that condition the least energy would always win: growth falls less than
/// in proportion.)
async fn search(
    client: &Client,
    predictions: &Arc<Predictions>,
    asked: &Arc<Advised>,
) -> Result<Search, ErrorBody> {
    let checkpoint = live::checkpoint(client, &asked.vm).await;
    let turn = predictions.turn().await?;
    let asked = Arc::clone(asked);
    let computed = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        compute(&asked, checkpoint.as_deref())
    });
    computed.await.map_err(|error| internal(&format!("the model was not asked: {error}")))?
}

/// From the cell as it stands, whatever process code has done to it; without one from its order.
fn compute(asked: &Advised, checkpoint: Option<&[u8]>) -> Result<Search, ErrorBody> {
    let cell = checkpoint.and_then(|bytes| Cell::restore(bytes).ok());
    let spec = match cell {
        Some(cell) => cell.spec_now(),
        None => cell::spec_at(&cell::burdened(&asked.vm), asked.vm.tick)?,
    };
    let now = asked.vm.allocation;
    let current = tried(&spec, now)?.ok_or_else(|| {
        internal("the model finds no steady state under the present allocation: the cell does not grow")
    })?;
    let mut all = Vec::new();
    let step = asked.most.ribosomes.div_ceil(RIBOSOME_STEPS).max(1);
    for percent in 1..=asked.most.atp_millipercent / ATP_STEP {
        let mut ribosomes = asked.most.ribosomes;
        while ribosomes > 0 {
            let allocation = CellAllocation { atp_millipercent: percent * ATP_STEP, ribosomes, ..now };
            all.extend(tried(&spec, allocation)?);
            ribosomes = ribosomes.saturating_sub(step);
        }
    }
    let no_less =
        all.iter().filter(|one| one.growth_rate_per_min >= SAME_GROWTH * current.growth_rate_per_min);
    let best = no_less.max_by(|a, b| a.growth_per_atp_percent.total_cmp(&b.growth_per_atp_percent)).copied();
    let best = best.filter(|best| gain(best, &current) >= WORTHWHILE_GAIN);
    Ok(Search { current, best: best.unwrap_or(current), tried: all })
}

/// None where the cell stops growing.
fn tried(spec: &CellSpec, amounts: CellAllocation) -> Result<Option<TriedAllocation>, ErrorBody> {
    let spec = CellSpec { allocation: cell::allocation(amounts)?, ..spec.clone() };
    let Ok(metrics) = steady_state(&spec) else { return Ok(None) };
    let atp_percentage = AtpPercent(amounts.atp_millipercent);
    Ok(Some(TriedAllocation {
        atp_percentage,
        ribosomes: amounts.ribosomes,
        growth_rate_per_min: metrics.growth_rate_per_min,
        doubling_time_min: metrics.doubling_time_min,
        growth_per_atp_percent: ratio(metrics.growth_rate_per_min, atp_percentage.percent()),
    }))
}

async fn allocate(client: &Client, asked: &Advised, best: &TriedAllocation) -> Result<(), ErrorBody> {
    let key = &asked.vm.key;
    let vm = Some(key.vm.clone());
    let subject = match &asked.operator {
        None => Subject::Command { user: key.user.clone(), verb: Verb::Allocate, vm },
        Some(operator) => Subject::Operator {
            operator: operator.clone(),
            verb: Verb::Allocate.to_string(),
            target: Some(key.user.to_string()),
            vm,
        },
    };
    let body = serde_json::json!({ "atp_percentage": best.atp_percentage, "ribosomes": best.ribosomes });
    let request = client.request(subject.to_string(), body.to_string().into());
    let answer = tokio::time::timeout(ALLOCATE_ANSWER, request).await;
    let Ok(Ok(answer)) = answer else {
        return Err(internal("the best allocation was asked for and not answered: look at the VM's status"));
    };
    match serde_json::from_slice::<ErrorReply>(&answer.payload) {
        Ok(refused) => Err(refused.error),
        Err(_) => Ok(()),
    }
}

fn gain(best: &TriedAllocation, current: &TriedAllocation) -> f64 {
    ratio(best.growth_per_atp_percent, current.growth_per_atp_percent)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn internal(message: &str) -> ErrorBody {
    ErrorBody::new(Code::Timeout, message)
}
