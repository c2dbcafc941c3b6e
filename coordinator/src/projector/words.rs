//! Times and amounts in words, for events and audit records. Whole numbers only: every fold writes the same text.

use bioxen_protocol::command::VmType;
use bioxen_protocol::limits::TICKS_PER_MINUTE;
use bioxen_protocol::package::VmPackage;
use bioxen_protocol::pool::XcpngPool;
use bioxen_protocol::worker::{CellAllocation, ProcessEnd, ProcessStatus};

const MS_PER_DAY: u64 = 24 * 3600 * 1000;
const DAYS_PER_400_YEARS: u64 = 146_097;

/// RFC 3339 in UTC with milliseconds, of milliseconds since 1970 (Gregorian calendar).
pub(crate) fn rfc3339(time_ms: u64) -> String {
    let (days, in_day_ms) = (time_ms / MS_PER_DAY, time_ms % MS_PER_DAY);
    let (year, month, day) = civil_date(days);
    let (hours, in_hour_ms) = (in_day_ms / 3_600_000, in_day_ms % 3_600_000);
    let (minutes, in_minute_ms) = (in_hour_ms / 60_000, in_hour_ms % 60_000);
    let (seconds, ms) = (in_minute_ms / 1000, in_minute_ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01: whole cycles of 400 years, then years, then months.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let mut year = 1970 + days / DAYS_PER_400_YEARS * 400;
    let mut left = days % DAYS_PER_400_YEARS;
    while left >= days_in_year(year) {
        left -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while left >= days_in_month(year, month) {
        left -= days_in_month(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// A grid point in simulated minutes since creation: `12.3`.
pub(super) fn minutes(tick: u64) -> String {
    format!("{}.{}", tick / TICKS_PER_MINUTE, tick % TICKS_PER_MINUTE)
}

/// `ATP 60 %, 10 ribosomes, 524288 KiB`.
pub(super) fn amounts(allocation: CellAllocation) -> String {
    let CellAllocation { atp_millipercent, ribosomes, memory_kb } = allocation;
    format!("ATP {} %, {ribosomes} ribosomes, {memory_kb} KiB", percent(atp_millipercent))
}

pub(super) fn percent(millipercent: u64) -> String {
    let (whole, thousandths) = (millipercent / 1000, millipercent % 1000);
    if thousandths == 0 {
        return whole.to_string();
    }
    format!("{whole}.{thousandths:03}").trim_end_matches('0').to_owned()
}

/// `change 2: package a@1.0.0 with digest sha256:.., load 12.5 a minute`
pub(super) fn installed(ordinal: u64, package: &VmPackage) -> String {
    let VmPackage { package, digest, load_micro_per_min, .. } = package;
    let (whole, millionths) = (load_micro_per_min / 1_000_000, load_micro_per_min % 1_000_000);
    let load = format!("{whole}.{millionths:06}");
    let load = load.trim_end_matches('0').trim_end_matches('.');
    let change = if ordinal == 0 { String::new() } else { format!("change {ordinal}: ") };
    format!("{change}package {package} with digest {digest}, load {load} a minute")
}

/// `process 3 completed: {"growth":..}`; of a long output its beginning.
pub(super) fn process(end: &ProcessEnd) -> String {
    const SHOWN_CHARS: usize = 400;
    let (number, status) = (
        end.number,
        match end.status {
            ProcessStatus::Completed => "completed",
            ProcessStatus::Failed | ProcessStatus::Unsupported => "failed",
            ProcessStatus::Unknown => "has an unknown outcome",
        },
    );
    let told = end.reason.as_deref().unwrap_or(&end.output);
    let shown: String = told.chars().take(SHOWN_CHARS).collect();
    let rest = if shown.len() < told.len() { ".." } else { "" };
    format!("process {number} {status}: {shown}{rest}")
}

/// Where a VM runs from here on.
pub(super) fn home(vm_type: VmType, pool: Option<&XcpngPool>) -> String {
    let on = pool.map(|pool| format!(" on pool {pool}")).unwrap_or_default();
    format!("runs as {}{on} from here on", vm_type.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_calendar() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (12_622_780_800_000, "2370-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(time_ms), text);
        }
    }

    #[test]
    fn amounts_are_written_without_rounding() {
        let allocation = CellAllocation { atp_millipercent: 55_250, ribosomes: 8, memory_kb: 1024 };
        assert_eq!(amounts(allocation), "ATP 55.25 %, 8 ribosomes, 1024 KiB");
        assert_eq!(percent(60_000), "60");
        assert_eq!(minutes(123), "12.3");
    }
}
