//! How a command ends when it does not succeed: what is told, and the exit code that a script can use.

use std::io::Write as _;
use std::process::ExitCode;

use bioxen_protocol::client::ClientError;
use bioxen_protocol::error::{Code, Details, ErrorBody, ErrorReply};

const OTHER: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const NOT_FOUND: u8 = 4;
const UNAVAILABLE: u8 = 5;

/// Shown by `bioxen --help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: an error inside the fleet (5xx), a verification that found differences, anything else
  2  the command line is wrong
  3  the fleet refused (4xx): quota, state, conflict, body; repeating will not help by itself
  4  no such VM (BX010)
  5  unavailable: no NATS server, no coordinator, no worker (BX013), no answer in time (BX014); repeat later";

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit_code: u8,
    message: String,
    refusal: Option<ErrorBody>,
}

impl Failure {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { exit_code: OTHER, message: message.into(), refusal: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit_code: USAGE, message: message.into(), refusal: None }
    }

    /// Tells it on stderr and gives the exit code.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        let text = match self.refusal {
            Some(error) if json => serde_json::to_string(&ErrorReply { error }).unwrap_or(self.message),
            Some(error) => text_of(&error),
            None if self.message.is_empty() => return ExitCode::from(self.exit_code),
            None => format!("bioxen: {}", self.message),
        };
        // Nothing can be done if stderr is gone as well.
        let _ = writeln!(std::io::stderr(), "{text}");
        ExitCode::from(self.exit_code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit_code = match &error {
            ClientError::Refused(body) => exit_code_of(body.code),
            ClientError::Connect { .. } | ClientError::NoCoordinator | ClientError::Timeout { .. } => {
                UNAVAILABLE
            }
            _ => OTHER,
        };
        let message = error.to_string();
        let refusal = match error {
            ClientError::Refused(body) => Some(body),
            _ => None,
        };
        Self { exit_code, message, refusal }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // The reader went away, as `head` does: nothing is wrong, and nothing is left to say.
            std::io::ErrorKind::BrokenPipe => Self { exit_code: 0, message: String::new(), refusal: None },
            _ => Self::other(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::other(format!("the answer cannot be written as JSON: {error}"))
    }
}

fn exit_code_of(code: Code) -> u8 {
    match (code, code.status()) {
        (Code::VmNotFound, _) => NOT_FOUND,
        (_, 503) => UNAVAILABLE,
        (_, 400..=499) => REFUSED,
        _ => OTHER,
    }
}

/// `[BX011] message`, and a line for each figure behind it.
fn text_of(error: &ErrorBody) -> String {
    let mut text = error.to_string();
    for (name, value) in figures(&error.details) {
        text.push_str(&format!("\n  {name}: {value}"));
    }
    for worker in &error.details.workers {
        text.push_str(&format!("\n  worker {}: {}", worker.worker, worker.reason));
    }
    text
}

fn figures(details: &Details) -> Vec<(&'static str, String)> {
    let text = |amount: Option<bioxen_protocol::error::Amount>| amount.map(|amount| amount.to_string());
    [
        ("resource", details.resource.clone()),
        ("limit", text(details.limit)),
        ("used", text(details.used)),
        ("requested", text(details.requested)),
        ("retry after", details.retry_after_ms.map(|ms| format!("{ms} ms"))),
        ("field", details.field.clone()),
        ("expected", details.expected.clone()),
        ("nearest", (!details.nearest.is_empty()).then(|| details.nearest.join(", "))),
        ("state", details.state.map(|state| state.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let exit_code = |code| Failure::from(ClientError::Refused(ErrorBody::new(code, ""))).exit_code;
        assert_eq!(exit_code(Code::QuotaExceeded), REFUSED);
        assert_eq!(exit_code(Code::VmNotFound), NOT_FOUND);
        assert_eq!(exit_code(Code::NoWorker), UNAVAILABLE);
        assert_eq!(exit_code(Code::Timeout), UNAVAILABLE);
        assert_eq!(exit_code(Code::ProcessFailed), OTHER);
        assert_eq!(Failure::from(ClientError::NoCoordinator).exit_code, UNAVAILABLE);
    }

    #[test]
    fn a_refusal_is_told_with_the_figures_behind_it() {
        let error = ErrorBody::new(Code::QuotaExceeded, "10 of 10 VMs are in use").with(|details| {
            details.resource = Some("vms".into());
            details.limit = Some(bioxen_protocol::error::Amount::Count(10));
        });
        assert_eq!(text_of(&error), "[BX011] 10 of 10 VMs are in use\n  resource: vms\n  limit: 10");
    }
}
