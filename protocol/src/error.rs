//! Errors that clients see: a code, a name, a sentence, details, an HTTP-like status. `docs/errors/` has a page each.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident $code:literal $name:literal $status:literal,)*) => {
        /// The kinds of refusal and failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $(#[serde(rename = $code)] $variant,)*
        }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// `BX001` ..
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// `VM_CREATION_FAILED` ..
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// As HTTP has them: 4xx is the caller's, 5xx ours.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

codes! {
    VmCreationFailed "BX001" "VM_CREATION_FAILED" 500,
    ResourceAllocation "BX002" "RESOURCE_ALLOCATION_ERROR" 429,
    ChassisInitialization "BX003" "CHASSIS_INITIALIZATION_ERROR" 400,
    HypervisorOverload "BX004" "HYPERVISOR_OVERLOAD" 429,
    InvalidConfiguration "BX005" "INVALID_CONFIGURATION" 400,
    VmState "BX006" "VM_STATE_ERROR" 409,
    ApiValidation "BX008" "API_VALIDATION_ERROR" 400,
    ResourceExhaustion "BX009" "RESOURCE_EXHAUSTION" 429,
    VmNotFound "BX010" "VM_NOT_FOUND" 404,
    QuotaExceeded "BX011" "QUOTA_EXCEEDED" 429,
    PermissionDenied "BX012" "PERMISSION_DENIED" 403,
    NoWorker "BX013" "NO_WORKER" 503,
    Timeout "BX014" "TIMEOUT" 503,
    Conflict "BX015" "CONFLICT" 409,
    ProcessFailed "BX016" "PROCESS_FAILED" 500,
    Package "BX017" "PACKAGE_ERROR" 500,
    Xcpng "BX018" "XCPNG_ERROR" 500,
    UnsupportedForChassis "BX019" "UNSUPPORTED_FOR_CHASSIS" 400,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a refused command is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReply {
    pub error: ErrorBody,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("[{code}] {message}")]
pub struct ErrorBody {
    pub code: Code,
    pub name: String,
    pub message: String,
    #[serde(default)]
    pub details: Box<Details>,
}

/// The figures behind a refusal; each is there where it says something.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Details {
    /// The field, limit or resource that the refusal is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<Amount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<crate::state::VmState>,
    /// Why each worker was not chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerRefusal>,
    /// What an XCP-ng pool said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xapi: Option<XapiFault>,
}

/// A refusal in XAPI's own words: one of its error codes, and the parameters that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct XapiFault {
    pub code: String,
    pub params: Vec<String>,
}

/// A figure in the unit of its resource: a count, units, KiB, or percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Amount {
    Count(u64),
    Percent(f64),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRefusal {
    pub worker: String,
    pub reason: String,
}

impl ErrorBody {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, name: code.name().to_owned(), message: message.into(), details: Box::default() }
    }

    pub fn with(mut self, fill: impl FnOnce(&mut Details)) -> Self {
        fill(&mut self.details);
        self
    }
}

/// The known name nearest to `text`, where one is near enough to be meant.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const NEAR: f64 = 0.6;
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, name), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_its_text_form() {
        let error = ErrorBody::new(Code::QuotaExceeded, "10 of 10 VMs are in use");
        assert_eq!(error.to_string(), "[BX011] 10 of 10 VMs are in use");
    }
}
