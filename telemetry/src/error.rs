//! What can go wrong while a program sets up its logs, metrics and health endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::logs::{LOG_DIR_VARIABLE, LOG_VARIABLE};

/// A program cannot show what it does; it should not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log format `{0}` is not known; choose text or json")]
    LogFormat(String),
    #[error(
        "{LOG_VARIABLE} is not Unicode; set it to a level or to filters such as info,bioxen_worker=debug"
    )]
    LogFilterNotUnicode,
    #[error(
        "{LOG_VARIABLE} holds `{filter}`, which is no filter ({reason}); an example is info,bioxen_worker=debug"
    )]
    LogFilter { filter: String, reason: String },
    #[error(
        "cannot write the log file {path} ({source}); make the folder that {LOG_DIR_VARIABLE} names writable, or unset it"
    )]
    LogFile { path: PathBuf, source: io::Error },
    #[error("logs are set up already; a program does so once")]
    LogsInstalled,
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error(
        "cannot listen on {addr} for metrics and health: another program uses this port; stop it or choose another port (0 takes a free one)"
    )]
    PortInUse { addr: SocketAddr },
    #[error(
        "cannot listen on {addr} for metrics and health ({source}); choose an address of this machine and a port above 1023"
    )]
    Listen { addr: SocketAddr, source: io::Error },
}
