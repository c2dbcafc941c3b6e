//! Log lines: on stderr, and appended to files where the operator names a folder.
//!
//! Lines with the target `audit` go to `audit.log` whatever the filter says: a quieter log must not
//! silence it. (The audit trail itself is the stream; this file is a convenience beside it.)
//! Files are written line by line in append mode and never rotated here.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::TelemetryError;

/// The environment variable with the filter, such as `debug` or `info,bioxen_worker=debug`.
pub const LOG_VARIABLE: &str = "BIOXEN_LOG";
/// The environment variable with the folder of the log files.
pub const LOG_DIR_VARIABLE: &str = "BIOXEN_LOG_DIR";
/// The target of lines that belong in `audit.log`.
pub const AUDIT_TARGET: &str = "audit";

const DEFAULT_FILTER: &str = "info";
const API_LOG: &str = "bioxen_api.log";
const AUDIT_LOG: &str = "audit.log";

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, the event's fields at its top.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(name: &str) -> Result<Self, TelemetryError> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::LogFormat(name.to_owned())),
        }
    }
}

/// Starts logging for the whole program, as BIOXEN_LOG and BIOXEN_LOG_DIR say; call once, first of all.
///
/// # Errors
/// A filter that does not parse, a log file that cannot be opened, or a second call.
pub fn init_logs(format: LogFormat) -> Result<(), TelemetryError> {
    subscriber(&LogSettings::from_env(format)?)?.try_init().map_err(|_| TelemetryError::LogsInstalled)
}

struct LogSettings {
    format: LogFormat,
    filter: String,
    dir: Option<PathBuf>,
}

impl LogSettings {
    fn from_env(format: LogFormat) -> Result<Self, TelemetryError> {
        let filter = match env::var(LOG_VARIABLE) {
            Ok(filter) if !filter.trim().is_empty() => filter,
            Ok(_) | Err(env::VarError::NotPresent) => DEFAULT_FILTER.to_owned(),
            Err(env::VarError::NotUnicode(_)) => return Err(TelemetryError::LogFilterNotUnicode),
        };
        let dir = env::var_os(LOG_DIR_VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Ok(Self { format, filter, dir })
    }

    fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        EnvFilter::try_new(&self.filter).map_err(|error| TelemetryError::LogFilter {
            filter: self.filter.clone(),
            reason: error.to_string(),
        })
    }
}

fn subscriber(settings: &LogSettings) -> Result<impl Subscriber + Send + Sync + use<>, TelemetryError> {
    let format = settings.format;
    let colours = io::stderr().is_terminal();
    let mut layers = vec![lines(format, io::stderr, colours).with_filter(settings.filter()?).boxed()];
    if let Some(dir) = &settings.dir {
        let all = open(dir, API_LOG)?;
        layers.push(lines(format, all, false).with_filter(settings.filter()?).boxed());
        let audit = open(dir, AUDIT_LOG)?;
        let is_audit = filter_fn(|line| line.target() == AUDIT_TARGET);
        layers.push(lines(format, audit, false).with_filter(is_audit).boxed());
    }
    Ok(tracing_subscriber::registry().with(layers))
}

fn lines<W>(format: LogFormat, writer: W, colours: bool) -> BoxedLayer
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn open(dir: &Path, name: &str) -> Result<File, TelemetryError> {
    let path = dir.join(name);
    std::fs::create_dir_all(dir)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
        .map_err(|source| TelemetryError::LogFile { path, source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(format: LogFormat, filter: &str, dir: &Path) -> LogSettings {
        LogSettings { format, filter: filter.to_owned(), dir: Some(dir.to_owned()) }
    }

    fn written(settings: &LogSettings) -> (String, String) {
        tracing::subscriber::with_default(subscriber(settings).unwrap(), || {
            tracing::info!(vm.id = "vm-1", "started");
            tracing::debug!("detail");
            tracing::info!(target: AUDIT_TARGET, action = "create", "vm-1 by alice");
        });
        let read = |name| fs::read_to_string(settings.dir.as_ref().unwrap().join(name)).unwrap();
        (read(API_LOG), read(AUDIT_LOG))
    }

    #[test]
    fn files_are_appended_and_audit_lines_stand_apart() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(LogFormat::Text, "info", &dir.path().join("made/here"));
        written(&settings);
        let (all, audit) = written(&settings);
        assert_eq!(all.lines().count(), 4, "{all}");
        assert!(all.contains("started vm.id=\"vm-1\"") && !all.contains("detail") && !all.contains('\x1b'));
        assert_eq!(audit.lines().count(), 2);
        assert!(audit.lines().all(|line| line.contains("action=\"create\"")), "{audit}");
    }

    #[test]
    fn json_lines_hold_the_fields_at_their_top() {
        let dir = tempfile::tempdir().unwrap();
        let (all, _) = written(&settings(LogFormat::Json, "debug", dir.path()));
        let lines: Vec<serde_json::Value> =
            all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["vm.id"], &lines[0]["message"]), (&"vm-1".into(), &"started".into()));
        assert_eq!(lines[2]["target"], "audit");
    }

    #[test]
    fn a_quiet_filter_does_not_silence_the_audit_log() {
        let dir = tempfile::tempdir().unwrap();
        let (all, audit) = written(&settings(LogFormat::Text, "error", dir.path()));
        assert_eq!((all.lines().count(), audit.lines().count()), (0, 1));
    }

    #[test]
    fn settings_that_cannot_be_followed_are_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |settings| subscriber(&settings).err().unwrap().to_string();
        let filter = refusal(settings(LogFormat::Text, "info,=nonsense=", dir.path()));
        assert!(filter.contains("BIOXEN_LOG holds `info,=nonsense=`"), "{filter}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let folder = refusal(settings(LogFormat::Text, "info", &file));
        assert!(folder.contains("bioxen_api.log") && folder.contains("BIOXEN_LOG_DIR"), "{folder}");
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("text or json"));
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
    }
}
