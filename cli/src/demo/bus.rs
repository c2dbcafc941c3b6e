//! Plain requests, shown as they go: subject, body, answer. JSON text in, JSON text out, and how long it took.

use std::time::{Duration, Instant};

use bioxen_protocol::command::Verb;
use bioxen_protocol::subject::Subject;
use serde_json::Value;

use crate::exit::Failure;
use crate::render::line;

#[derive(Debug)]
pub(super) struct Bus {
    nats: async_nats::Client,
    latencies: Vec<Duration>,
}

impl Bus {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let nats = async_nats::connect(url).await.map_err(|error| Failure::other(error.to_string()))?;
        Ok(Self { nats, latencies: Vec::new() })
    }

    pub(super) fn nats(&self) -> &async_nats::Client {
        &self.nats
    }

    /// Median and longest time of the requests so far, and their number.
    pub(super) fn latency(&self) -> (Duration, Duration, usize) {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        (at(sorted.len() / 2), at(sorted.len().saturating_sub(1)), sorted.len())
    }

    pub(super) fn say(&self, text: &str) -> Result<(), Failure> {
        Ok(line(&format!("\n# {text}"))?)
    }

    /// Sends, shows both ways, and expects the fleet to accept.
    pub(super) async fn accepted(
        &mut self,
        user: &str,
        verb: Verb,
        vm: &str,
        body: &str,
    ) -> Result<Value, Failure> {
        let answer = self.shown(user, verb, vm, body).await?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(Failure::other(format!("the fleet refused what it should accept: {error}"))),
        }
    }

    /// Sends, shows both ways, and expects a refusal with this code.
    pub(super) async fn refused(
        &mut self,
        user: &str,
        verb: Verb,
        vm: &str,
        body: &str,
        code: &str,
    ) -> Result<Value, Failure> {
        let answer = self.shown(user, verb, vm, body).await?;
        match &answer["error"]["code"] {
            Value::String(found) if found == code => Ok(answer),
            _ => Err(Failure::other(format!("the fleet did not refuse with {code}: {answer}"))),
        }
    }

    /// Sends and expects acceptance, without showing: for what is asked over and over.
    pub(super) async fn quietly(&mut self, user: &str, verb: Verb, vm: &str) -> Result<Value, Failure> {
        let (_, answer) = self.ask(user, verb, vm, "{}").await?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(Failure::other(format!("{verb} of {user}'s {vm}: {error}"))),
        }
    }

    async fn shown(&mut self, user: &str, verb: Verb, vm: &str, body: &str) -> Result<Value, Failure> {
        let subject = subject(user, verb, vm)?;
        line(&format!("  > {subject}  {body}"))?;
        let (took, answer) = self.ask(user, verb, vm, body).await?;
        line(&format!("  < {answer}  ({:.1} ms)", took.as_secs_f64() * 1e3))?;
        Ok(answer)
    }

    async fn ask(
        &mut self,
        user: &str,
        verb: Verb,
        vm: &str,
        body: &str,
    ) -> Result<(Duration, Value), Failure> {
        let subject = subject(user, verb, vm)?;
        let asked = Instant::now();
        let answer = self
            .nats
            .request(subject.clone(), body.to_owned().into())
            .await
            .map_err(|error| Failure::other(format!("{subject}: {error}")))?;
        let took = asked.elapsed();
        self.latencies.push(took);
        let answer = serde_json::from_slice(&answer.payload)
            .map_err(|error| Failure::other(format!("{subject}: the answer is not JSON: {error}")))?;
        Ok((took, answer))
    }
}

/// `vm` may be empty, where the verb is not about one.
fn subject(user: &str, verb: Verb, vm: &str) -> Result<String, Failure> {
    let invalid = |error: bioxen_protocol::id::InvalidId| Failure::other(error.to_string());
    let vm = if vm.is_empty() { None } else { Some(vm.parse().map_err(invalid)?) };
    Ok(Subject::Command { user: user.parse().map_err(invalid)?, verb, vm }.to_string())
}
