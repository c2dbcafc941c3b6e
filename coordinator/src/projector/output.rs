//! Both streams as one output: a step of the fold becomes messages of the one and of the other.

use std::time::SystemTime;

use async_nats::Client;
use bioxen_mutants::{Mutant, is_on};
use bioxen_protocol::audit::{AuditRecord, Outcome};
use bioxen_protocol::subject::Subject;
use bytes::Bytes;

use super::audit_chain::{self, Chain};
use super::end::Place;
use super::events;
use super::fold::Step;
use super::sink::{Flushed, Kind, Pending, Sink};
use super::{Config, PUBLISHED, ProjectorError, Stop};

#[derive(Debug)]
pub(super) struct Output {
    events: Sink<()>,
    audit: Sink<AuditRecord>,
    /// After the last record that stands or is pending.
    chain: Chain,
    /// Events of older entries are not published any more.
    events_since_ms: u64,
}

impl Output {
    /// Finds both streams' ends.
    pub(super) async fn open(client: &Client, config: Config) -> Result<Self, ProjectorError> {
        let failed = |kind: Kind| move |source| ProjectorError::Stream { stream: kind.stream(), source };
        let events = Sink::open(client.clone(), Kind::Events, config.wait).await;
        let events = events.map_err(failed(Kind::Events))?;
        let audit = Sink::open(client.clone(), Kind::Audit, config.wait).await;
        let audit: Sink<AuditRecord> = audit.map_err(failed(Kind::Audit))?;
        let chain = chain_at(&audit)?;
        // A stream that has outlived its messages was complete up to its age; a new one wants all.
        let outlived = events.end().place.is_none() && events.end().sequence > 0;
        let events_since_ms = if outlived { oldest_ms(config) } else { 0 };
        Ok(Self { events, audit, chain, events_since_ms })
    }

    /// The ends of both streams, with their names.
    pub(super) fn ends(&self) -> [(&'static str, Option<Place>); 2] {
        [(Kind::Events.stream(), self.events.end().place), (Kind::Audit.stream(), self.audit.end().place)]
    }

    /// Makes the messages of one entry pending, but for those that stand.
    pub(super) fn push(&mut self, step: &Step<'_>) -> Result<(), ProjectorError> {
        let place = |n: usize, of: usize| Place {
            incarnation: step.incarnation,
            index: step.index,
            n: n as u64,
            of: of as u64,
        };
        if step.time_ms >= self.events_since_ms && !self.events.stands(place(usize::MAX, 0)) {
            let events = events::events(step);
            let of = events.len();
            for (n, event) in events.into_iter().enumerate() {
                let place = place(n, of);
                if self.events.stands(place) {
                    continue;
                }
                let payload = Bytes::from(serde_json::to_vec(&event)?);
                let subject = Subject::Event { user: event.user, vm: event.vm_id, event: event.event };
                let subject = subject.to_string();
                self.events.push(Pending { place, subject, payload, content: () });
            }
        }
        if self.audit.stands(place(usize::MAX, 0)) {
            return Ok(());
        }
        let records = audit_chain::records(step);
        let of = records.len();
        for (n, record) in records.into_iter().enumerate() {
            let place = place(n, of);
            if self.audit.stands(place) {
                continue;
            }
            let record = self.chain.seal(record)?;
            let payload = Bytes::from(serde_json::to_vec(&record)?);
            let subject = Subject::Audit { user: record.user.clone(), action: record.action.clone() };
            self.audit.push(Pending { place, subject: subject.to_string(), payload, content: record });
        }
        Ok(())
    }

    /// Publishes what is pending in both.
    pub(super) async fn flush(&mut self) -> Result<(Flushed, Flushed), Stop> {
        let events =
            self.events.flush(|_| metrics::counter!(PUBLISHED.name, "sink" => "events").increment(1));
        let audit = self.audit.flush(|pending| {
            log(&pending.content);
            metrics::counter!(PUBLISHED.name, "sink" => "audit").increment(1);
        });
        let (events, audit) = tokio::join!(events, audit);
        if self.audit.take_overtaken() {
            self.chain = chain_at(&self.audit).map_err(Stop::Error)?;
        }
        Ok((events?, audit?))
    }

    pub(super) fn has_room(&self) -> bool {
        self.events.has_room() && self.audit.has_room()
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.events.first_pending().is_none() && self.audit.first_pending().is_none()
    }

    /// The last entries of which everything stands, of those up to `folded_index`.
    pub(super) fn published(&self, folded_index: u64) -> (u64, u64) {
        let before = |place: Option<Place>| place.map_or(folded_index, |place| place.index.saturating_sub(1));
        (before(self.events.first_pending()), before(self.audit.first_pending()))
    }

    /// The number of the last record that stands.
    pub(super) fn audit_number(&self) -> u64 {
        self.chain.number - self.audit.pending()
    }
}

fn chain_at(audit: &Sink<AuditRecord>) -> Result<Chain, ProjectorError> {
    let Some(place) = audit.end().place.filter(|_| !is_on(Mutant::ChainBegunAnew)) else {
        return Ok(Chain::start());
    };
    let record: AuditRecord = serde_json::from_slice(&audit.end().payload)
        .map_err(|error| ProjectorError::Unreadable { index: place.index, reason: error.to_string() })?;
    Ok(Chain { number: record.number, hash: record.hash })
}

fn oldest_ms(config: Config) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(config.events_max_age).as_millis()).unwrap_or(u64::MAX)
}

fn log(record: &AuditRecord) {
    tracing::info!(
        target: bioxen_telemetry::AUDIT_TARGET,
        number = record.number,
        index = record.index,
        user.id = %record.user,
        operator.id = record.operator.as_ref().map(tracing::field::display),
        action = %record.action,
        vm.id = record.vm_id.as_ref().map(tracing::field::display),
        outcome = match record.outcome {
            Outcome::Accepted => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::Observed => "observed",
        },
        code = record.code.map(tracing::field::display),
        request.id = record.request_id.as_ref().map(tracing::field::display),
        count = record.count,
        hash = %record.hash,
        "{}", record.note
    );
}
