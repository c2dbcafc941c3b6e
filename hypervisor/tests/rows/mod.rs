//! The acceptance table: a line for each figure, in one form whichever test holds it. It computes nothing.

/// Prints a line and fails where the figure does not hold; `None` where it is only reported, or was not looked at.
#[expect(clippy::print_stdout, reason = "`make acceptance` shows each value beside its reference")]
pub(crate) fn show(
    row: &str,
    what: &str,
    value: impl ToString,
    reference: impl ToString,
    tolerance: &str,
    holds: Option<bool>,
) {
    let (value, reference) = (short(value.to_string(), 8), short(reference.to_string(), 12));
    let outcome = match holds {
        Some(true) => "pass",
        Some(false) => "FAIL",
        None => "-",
    };
    println!("| {row} | {what} | {value} | {reference} | {tolerance} | {outcome} |");
    assert!(holds != Some(false), "row {row}: {what} is {value}; expected {reference} ({tolerance})");
}

/// A number of more characters than that to six digits.
fn short(text: String, most: usize) -> String {
    match text.parse::<f64>() {
        Ok(number) if text.len() > most && number.fract() != 0.0 => {
            let digits = format!("{number:.5e}");
            let power = digits.split_once('e').and_then(|(_, power)| power.parse::<i32>().ok()).unwrap_or(0);
            match usize::try_from(5 - power) {
                Ok(decimals) if power > -5 => format!("{number:.decimals$}"),
                Ok(_) => digits,
                Err(_) => format!("{number:.0}"),
            }
        }
        _ => text,
    }
}
