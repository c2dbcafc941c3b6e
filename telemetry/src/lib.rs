//! How a BioXen program shows what it does: log lines, Prometheus metrics, health and readiness.
//!
//! ```text
//! tracing --> stderr, and in BIOXEN_LOG_DIR bioxen_api.log (all) and audit.log (target `audit`)
//! metrics --> recorder --> /metrics \
//! Health ----------------> /healthz  > one HTTP listener on loopback
//! Readiness -------------> /readyz  /
//! ```
//!
//! A program's `main` calls [`init_logs`], [`install_metrics`] and [`serve`] once. This crate must not know
//! what any metric or condition means, and must never stop a program that is running.

mod error;
mod logs;
mod metrics;
mod probes;
mod server;

pub use error::TelemetryError;
pub use logs::{AUDIT_TARGET, LOG_DIR_VARIABLE, LOG_VARIABLE, LogFormat, init_logs};
pub use metrics::{Metric, MetricKind, PrometheusHandle, describe, install_metrics};
pub use probes::{Health, Readiness};
pub use server::{loopback, serve};
