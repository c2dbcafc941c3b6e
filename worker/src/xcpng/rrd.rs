//! What a host measures of its guests, as its `/rrd_updates` tells: columns named `AVERAGE:vm:UUID:FIGURE`, rows of numbers.
//!
//! Pure; `pool` fetches it. <https://xapi-project.github.io/xen-api/topics/metrics.html>

use serde_json::Value;

use super::json;

/// How a guest's host sees it, over the last few seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuestFigures {
    /// Mean of its processors; 100 is all of them fully at work.
    pub cpu_percent: f64,
    /// What its host has given it, used or not.
    pub memory_bytes: u64,
}

/// The newest figures of the guest; none where the host has none yet, or the guest is not there.
///
/// # Errors
/// What makes it no such document.
pub(super) fn newest(text: &str, uuid: &str) -> Result<Option<GuestFigures>, String> {
    let document = json::value(text)?;
    let list = |value: Option<&Value>, name: &str| {
        value.and_then(Value::as_array).cloned().ok_or_else(|| format!("figures without {name}"))
    };
    let legend = list(document.pointer("/meta/legend"), "a legend")?;
    let mut rows = list(document.get("data"), "rows")?;
    let prefix = format!("AVERAGE:vm:{uuid}:");
    let columns: Vec<(usize, &str)> = legend
        .iter()
        .enumerate()
        .filter_map(|(column, name)| Some((column, name.as_str()?.strip_prefix(&prefix)?)))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.get("t").and_then(Value::as_u64)));
    // The newest row may not be measured yet, which stands there as NaN.
    Ok(rows.iter().find_map(|row| figures(row.get("values")?.as_array()?, &columns)))
}

fn figures(values: &[Value], columns: &[(usize, &str)]) -> Option<GuestFigures> {
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
    Some(GuestFigures { cpu_percent: 100.0 * cpus.iter().sum::<f64>() / count, memory_bytes })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"meta":{"start":1,"step":5,"end":11,"rows":3,"columns":6,"legend":[
        "AVERAGE:vm:a:cpu0","AVERAGE:vm:b:cpu0","AVERAGE:vm:a:cpu1","AVERAGE:vm:a:cpu_usage","AVERAGE:vm:a:memory",
        "AVERAGE:host:h:cpu0"]},
        "data":[{"t":1,"values":[1,1,1,1,64,1]},{"t":6,"values":[0.25,1.0,0.75,9.0,1073741824.0,1.0]},
        {"t":11,"values":[NaN,NaN,NaN,NaN,NaN,-Infinity]}]}"#;

    #[test]
    fn a_guest_s_newest_figures_are_read_past_rows_that_are_not_measured() {
        let expected = GuestFigures { cpu_percent: 50.0, memory_bytes: 1 << 30 };
        assert_eq!(newest(TEXT, "a"), Ok(Some(expected)));
        assert_eq!(newest(TEXT, "c"), Ok(None));
        assert_eq!(newest(TEXT, "b"), Ok(None), "it has no memory");
    }

    #[test]
    fn what_are_no_figures_is_said() {
        assert!(newest("<xport>", "a").unwrap_err().contains("no JSON"));
        assert!(newest("{}", "a").unwrap_err().contains("legend"));
    }
}
