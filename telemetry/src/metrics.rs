//! The Prometheus recorder, and descriptions of metrics.
//!
//! Each crate lists its metrics as [`Metric`] consts in one file, describes them with [`describe`], and
//! counts with the `metrics` macros. Names start with `bioxen_` and end in their unit.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

pub use metrics_exporter_prometheus::PrometheusHandle;

use crate::TelemetryError;

/// Upper bounds of the buckets of histograms in milliseconds: from one journal append to a slow pool's answer.
const BUCKETS_MS: [f64; 16] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 5_000.0, 10_000.0,
    60_000.0,
];

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever grows; its name ends in `_total`.
    Counter,
    Gauge,
    /// With buckets where its name ends in `_ms` or `_seconds`, else a summary.
    Histogram,
}

/// A metric's name, kind and meaning, for `# HELP`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub help: &'static str,
}

/// Makes the recorder that all `metrics` macros of this program write to; call once.
///
/// # Errors
/// A second call.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    Ok(builder()?.install_recorder()?)
}

/// Tells `/metrics` what each metric means. Call after [`install_metrics`]: before, it has no effect.
pub fn describe(metrics: &[Metric]) {
    for Metric { name, kind, help } in metrics {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *help),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *help),
            MetricKind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let buckets_seconds = BUCKETS_MS.map(|bound_ms| bound_ms / 1_000.0);
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_ms".to_owned()), &BUCKETS_MS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets_seconds)
}

#[cfg(test)]
pub(crate) fn test_recorder() -> metrics_exporter_prometheus::PrometheusRecorder {
    builder().unwrap().build_recorder()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPENDS: Metric = Metric {
        name: "bioxen_journal_append_ms",
        kind: MetricKind::Histogram,
        help: "Time from publishing a batch to its ack",
    };
    const COMMANDS: Metric =
        Metric { name: "bioxen_commands_total", kind: MetricKind::Counter, help: "Commands decided" };
    const VMS: Metric = Metric { name: "bioxen_vms", kind: MetricKind::Gauge, help: "VMs by state" };

    #[test]
    fn described_metrics_are_rendered_with_help_and_buckets() {
        let recorder = test_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe(&[APPENDS, COMMANDS, VMS]);
            metrics::histogram!(APPENDS.name).record(0.3);
            metrics::counter!(COMMANDS.name, "verb" => "create").increment(2);
            metrics::gauge!(VMS.name, "state" => "running").set(3.0);
        });
        let page = recorder.handle().render();
        for line in [
            "# HELP bioxen_commands_total Commands decided",
            "bioxen_commands_total{verb=\"create\"} 2",
            "bioxen_vms{state=\"running\"} 3",
            "# TYPE bioxen_journal_append_ms histogram",
            "bioxen_journal_append_ms_bucket{le=\"0.25\"} 0",
            "bioxen_journal_append_ms_bucket{le=\"0.5\"} 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn a_second_recorder_is_refused() {
        install_metrics().unwrap();
        assert!(install_metrics().unwrap_err().to_string().starts_with("metrics cannot be set up"));
    }
}
