//! What a host measures of its guests, as its `/rrd_updates` tells: columns named `AVERAGE:vm:UUID:FIGURE`, rows of numbers.
//!
//! Pure; `pool` fetches it. <https://xapi-project.github.io/xen-api/topics/metrics.html>

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::json;

/// How a guest's host sees it, over the last few seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuestFigures {
    /// Mean of its processors; 100 is all of them fully at work.
    pub cpu_percent: f64,
    /// What its host has given it, used or not.
    pub memory_bytes: u64,
    /// For how long its host has measured others since.
    pub behind: Duration,
}

/// What a host told.
#[derive(Debug, PartialEq)]
pub(super) struct Told {
    /// Its clock at the newest row, which need not be measured yet: seconds since 1970.
    pub(super) newest_seconds: Option<u64>,
    /// By UUID.
    pub(super) guests: BTreeMap<String, GuestFigures>,
}

/// The newest figures of those guests that the host measured.
///
/// # Errors
/// What makes it no such document.
pub(super) fn newest(text: &str, uuids: &[&str]) -> Result<Told, String> {
    let document = json::value(text)?;
    let list = |value: Option<&Value>, name: &str| {
        value.and_then(Value::as_array).cloned().ok_or_else(|| format!("figures without {name}"))
    };
    let legend = list(document.pointer("/meta/legend"), "a legend")?;
    let rows = list(document.get("data"), "rows")?;
    let of = |row: &Value| row.get("t").and_then(Value::as_u64);
    let mut rows: Vec<(u64, &[Value])> =
        rows.iter().filter_map(|row| Some((of(row)?, row.get("values")?.as_array()?.as_slice()))).collect();
    rows.sort_by_key(|(seconds, _)| std::cmp::Reverse(*seconds));
    let mut columns: BTreeMap<&str, Vec<(usize, &str)>> =
        uuids.iter().map(|uuid| (*uuid, Vec::new())).collect();
    for (column, name) in legend.iter().enumerate() {
        let name = name.as_str().and_then(|name| name.strip_prefix("AVERAGE:vm:")?.split_once(':'));
        if let Some((uuid, name)) = name
            && let Some(columns) = columns.get_mut(uuid)
        {
            columns.push((column, name));
        }
    }
    let newest_seconds = rows.first().map(|(seconds, _)| *seconds);
    let guests = columns.into_iter().filter_map(|(uuid, columns)| {
        // The newest row may not be measured yet, which stands there as NaN.
        let measured = rows.iter().find_map(|(seconds, values)| {
            let behind = Duration::from_secs(newest_seconds?.saturating_sub(*seconds));
            figures(values, &columns, behind)
        });
        Some((uuid.to_owned(), measured?))
    });
    Ok(Told { newest_seconds, guests: guests.collect() })
}

fn figures(values: &[Value], columns: &[(usize, &str)], behind: Duration) -> Option<GuestFigures> {
    let number = |column: usize| values.get(column)?.as_f64().filter(|number| *number >= 0.0);
    let of = |is_it: &dyn Fn(&str) -> bool| -> Vec<f64> {
        columns.iter().filter(|(_, name)| is_it(name)).filter_map(|(column, _)| number(*column)).collect()
    };
    let cpus = of(&|name| name.strip_prefix("cpu").is_some_and(is_number));
    let memory = of(&|name| name == "memory");
    if cpus.is_empty() {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few processors")]
    let count = cpus.len() as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of a memory, none negative"
    )]
    let memory_bytes = *memory.first()? as u64;
    Some(GuestFigures { cpu_percent: 100.0 * cpus.iter().sum::<f64>() / count, memory_bytes, behind })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"meta":{"start":1,"step":5,"end":11,"rows":3,"columns":6,"legend":[
        "AVERAGE:vm:a:cpu0","AVERAGE:vm:b:cpu0","AVERAGE:vm:a:cpu1","AVERAGE:vm:a:cpu_usage","AVERAGE:vm:a:memory",
        "AVERAGE:host:h:cpu0","AVERAGE:vm:d:cpu0","AVERAGE:vm:d:memory"]},
        "data":[{"t":1,"values":[1,1,1,1,64,1,1,64]},{"t":6,"values":[0.25,1.0,0.75,9.0,1073741824.0,1.0,NaN,NaN]},
        {"t":11,"values":[NaN,NaN,NaN,NaN,NaN,-Infinity,NaN,NaN]}]}"#;

    #[test]
    fn guests_newest_figures_are_read_past_rows_that_are_not_measured() {
        let a = GuestFigures { cpu_percent: 50.0, memory_bytes: 1 << 30, behind: Duration::from_secs(5) };
        let d = GuestFigures { cpu_percent: 100.0, memory_bytes: 64, behind: Duration::from_secs(10) };
        let expected = BTreeMap::from([("a".to_owned(), a), ("d".to_owned(), d)]);
        // b has no memory, c is not there, and of h nobody asked.
        let told = newest(TEXT, &["a", "b", "c", "d"]).unwrap();
        assert_eq!(told, Told { newest_seconds: Some(11), guests: expected });
        assert_eq!(newest(TEXT, &["b"]).unwrap().guests, BTreeMap::new());
    }

    #[test]
    fn what_are_no_figures_is_said() {
        assert!(newest("<xport>", &["a"]).unwrap_err().contains("no JSON"));
        assert!(newest("{}", &["a"]).unwrap_err().contains("legend"));
    }
}
