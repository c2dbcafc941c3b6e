//! What can go wrong with a pool, in words, and as the error that clients see (BX018).
//!
//! No secret may get in here: messages are journaled and shown. What XAPI said is carried over, but for session references,
//! and no longer than people read.

use std::path::PathBuf;
use std::time::Duration;

use bioxen_protocol::error::{Code, ErrorBody, XapiFault};
use bioxen_protocol::id::{Generation, VmKey};

use super::channel::SshFault;
use crate::words;

/// XAPI's longest code has 60; parameters are few and short, but for the last words of a storage driver.
const CODE_BYTES_MOST: usize = 64;
const PARAM_BYTES_MOST: usize = 500;
const PARAMS_MOST: usize = 16;

/// XAPI's codes that are more to us than words for people.
pub mod code {
    pub const SESSION_INVALID: &str = "SESSION_INVALID";
    pub const SESSION_AUTHENTICATION_FAILED: &str = "SESSION_AUTHENTICATION_FAILED";
    pub const HOST_IS_SLAVE: &str = "HOST_IS_SLAVE";
    pub const HOST_STILL_BOOTING: &str = "HOST_STILL_BOOTING";
    pub const HANDLE_INVALID: &str = "HANDLE_INVALID";
    pub const UUID_INVALID: &str = "UUID_INVALID";
    pub const EVENTS_LOST: &str = "EVENTS_LOST";
    pub const EVENT_FROM_TOKEN_PARSE_FAILURE: &str = "EVENT_FROM_TOKEN_PARSE_FAILURE";
    pub const MAP_DUPLICATE_KEY: &str = "MAP_DUPLICATE_KEY";
    pub const VM_BAD_POWER_STATE: &str = "VM_BAD_POWER_STATE";
    pub const OTHER_OPERATION_IN_PROGRESS: &str = "OTHER_OPERATION_IN_PROGRESS";
    pub const VDI_IN_USE: &str = "VDI_IN_USE";
    pub const TASK_CANCELLED: &str = "TASK_CANCELLED";
    pub const TOO_MANY_PENDING_TASKS: &str = "TOO_MANY_PENDING_TASKS";
}

/// What XAPI refused, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: String,
    pub params: Vec<String>,
}

impl Fault {
    /// A session's reference opens the pool to whoever reads it, so it is not kept; of the rest, a line of each.
    pub fn new(code: impl Into<String>, mut params: Vec<String>) -> Self {
        let code = words::line(&code.into(), CODE_BYTES_MOST);
        params.truncate(if code == code::SESSION_INVALID { 0 } else { PARAMS_MOST });
        let params = params.iter().map(|param| words::line(param, PARAM_BYTES_MOST)).collect();
        Self { code, params }
    }

    pub(crate) fn without(self, secret: &str) -> Self {
        let params = self.params.into_iter().map(|param| words::without(param, secret));
        Self { params: params.collect(), code: words::without(self.code, secret) }
    }

    /// Whether its code is written as XAPI's are.
    pub(crate) fn has_code(&self) -> bool {
        let is_of_one = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !self.code.is_empty() && self.code.bytes().all(is_of_one)
    }

    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// The refusal clears by itself: another operation is at work, or the toolstack has just started.
    pub fn passes(&self) -> bool {
        [code::OTHER_OPERATION_IN_PROGRESS, code::HOST_STILL_BOOTING, code::TOO_MANY_PENDING_TASKS]
            .contains(&self.code.as_str())
    }

    /// What a person can do.
    fn advice(&self) -> &'static str {
        match self.code.as_str() {
            code::SESSION_AUTHENTICATION_FAILED => {
                "check username and password of the pool, in the worker's file or in the VM's xcpng_config"
            }
            "RBAC_PERMISSION_DENIED" => "give the pool's account the role vm-admin",
            "SR_FULL" | "SR_BACKEND_FAILURE_44" => {
                "free space on the storage repository, or name another one"
            }
            "HOST_NOT_ENOUGH_FREE_MEMORY" | "NO_HOSTS_AVAILABLE" => {
                "free memory on the pool's hosts, or lower vm_memory"
            }
            code::UUID_INVALID => {
                "check the UUIDs of network and storage repository, in the worker's file or in the VM's xcpng_config"
            }
            code::HOST_STILL_BOOTING | code::OTHER_OPERATION_IN_PROGRESS | code::TOO_MANY_PENDING_TASKS => {
                "try again when the pool has become quiet"
            }
            "HOST_OFFLINE" | "CANNOT_CONTACT_HOST" => "bring the host back, or take it out of the pool",
            code::TASK_CANCELLED => "somebody cancelled the task on the pool; try again",
            "LICENCE_RESTRICTION" => "the pool's licence does not cover this",
            "VM_HVM_REQUIRED" => "make the template of a VM with hardware virtualisation",
            _ => "look the code up in the pool's log (/var/log/xensource.log) and try again",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.params.is_empty() {
            write!(f, " [{}]", self.params.join(", "))?;
        }
        Ok(())
    }
}

/// Why something did not come about on a pool.
#[derive(Debug, Clone, thiserror::Error)]
pub enum XcpngError {
    #[error("XAPI refused {method}: {fault}; {}", fault.advice())]
    Fault { method: String, fault: Fault },
    #[error("{host} cannot be reached ({what}); check xapi_url, the network and that XAPI runs there")]
    Unreachable {
        host: String,
        what: String,
        /// The request may have arrived, so its outcome is unknown.
        sent: bool,
    },
    #[error(
        "{host} shows a certificate that is not the one expected ({what}); if it was renewed, set tls_fingerprint or ca_file anew, else find out who answers there"
    )]
    Certificate { host: String, what: String },
    #[error(
        "{what} was not done within {seconds} s; look at the pool's load and tasks, or raise the timeout in the worker's file"
    )]
    Deadline { what: String, seconds: u64 },
    #[error(
        "{host} answered {method} with something that is no answer of XAPI: {what}; is xapi_url a pool's?"
    )]
    Answer { host: String, method: String, what: String },
    #[error("{0}")]
    Secret(String),
    #[error(
        "{kind} {name:?} is not on the pool; make it there, or change {field} in the worker's file or in the VM's xcpng_config"
    )]
    Missing { kind: &'static str, name: String, field: &'static str },
    #[error(
        "{count} objects on the pool are a {kind} {name:?}; make the name unique, or give a UUID as {field}"
    )]
    Ambiguous { kind: &'static str, name: String, field: &'static str, count: usize },
    #[error(
        "the guest of {vm} belongs to generation {theirs}, which is later than {ours}; it was left alone"
    )]
    Superseded { vm: VmKey, ours: Generation, theirs: Generation },
    #[error(
        "the guest {guest} is {found}, expected {expected}; bring it there on the pool, or destroy the VM"
    )]
    State { guest: String, found: String, expected: &'static str },
    #[error("{method} began on the pool and its task is gone; look at the guest's state and try again")]
    TaskLost { method: String },
    #[error(
        "the guest {guest} showed no address within {seconds} s; does its template have guest tools and DHCP?"
    )]
    NoAddress { guest: String, seconds: u64 },
    #[error("{0}")]
    Refused(String),
    #[error("the guest {guest} {fault}")]
    Ssh { guest: String, fault: SshFault },
    #[error(
        "{path}, which guests need, cannot be read ({what}); bioxen-guest has to stand beside this program or be named in BIOXEN_GUEST, and packs where the worker was told"
    )]
    Program { path: PathBuf, what: String },
    #[error("the connection to the pool was closed by this worker")]
    Closed,
}

impl XcpngError {
    /// As clients see it, with XAPI's code and parameters apart from the words.
    pub fn body(&self, pool: &str) -> ErrorBody {
        ErrorBody::new(Code::Xcpng, format!("pool {pool}: {self}")).with(|details| {
            details.resource = Some(format!("pool {pool}"));
            if let Self::Fault { fault, .. } = self {
                details.xapi = Some(XapiFault { code: fault.code.clone(), params: fault.params.clone() });
            }
        })
    }

    /// XAPI's refusal with this code.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, Self::Fault { fault, .. } if fault.is(code))
    }

    /// Whether what was asked may have been done all the same, so that the state has to be read before asking again.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } => *sent,
            Self::Answer { .. } | Self::Deadline { .. } | Self::TaskLost { .. } => true,
            _ => false,
        }
    }

    /// Whether asking again later may help, without anybody changing anything.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Fault { fault, .. } => fault.passes(),
            Self::Ssh { fault, .. } => fault.passes(),
            _ => false,
        }
    }

    /// Without what the pool said, where that holds the secret.
    pub(crate) fn without(self, secret: &str) -> Self {
        let clean = |text| words::without(text, secret);
        match self {
            Self::Fault { method, fault } => Self::Fault { method, fault: fault.without(secret) },
            Self::Unreachable { host, what, sent } => {
                Self::Unreachable { host: clean(host), what: clean(what), sent }
            }
            Self::Certificate { host, what } => Self::Certificate { host: clean(host), what: clean(what) },
            Self::Answer { host, method, what } => {
                Self::Answer { host: clean(host), method, what: clean(what) }
            }
            Self::Deadline { what, seconds } => Self::Deadline { what: clean(what), seconds },
            other => other,
        }
    }

    pub(crate) fn deadline(what: impl Into<String>, within: Duration) -> Self {
        Self::Deadline { what: what.into(), seconds: within.as_secs() }
    }
}
