//! Scheduled calls of a `create` body: bounded, and what can be seen to be wrong beforehand is refused beforehand. The
//! code runs at a worker when its minute has come.

use bioxen_hypervisor::process::call::{looks_like_call, parse};
use bioxen_hypervisor::process::{Function, ProcessError};
use bioxen_protocol::command::ScheduledChange;
use bioxen_protocol::error::{Amount, Code, ErrorBody};
use bioxen_protocol::limits::{SCHEDULED_CALLS, SCHEDULED_CALLS_BYTES};

const FIELD: &str = "schedule.call";

/// # Errors
/// Too many calls or too much code in all; an empty one; a plain call that cannot be read, or of no known function.
pub(super) fn check(schedule: &[ScheduledChange]) -> Result<(), ErrorBody> {
    let calls = || schedule.iter().filter_map(|change| change.call.as_deref());
    within("scheduled calls", calls().count(), SCHEDULED_CALLS)?;
    within("bytes of code in scheduled calls", calls().map(str::len).sum(), SCHEDULED_CALLS_BYTES)?;
    calls().try_for_each(check_code)
}

fn within(what: &str, found: usize, most: usize) -> Result<(), ErrorBody> {
    if found <= most {
        return Ok(());
    }
    let message =
        format!("{found} {what}: at most {most} for one VM; schedule fewer, or call a script that does more");
    Err(invalid(Code::InvalidConfiguration, message).with(|details| {
        details.limit = Some(Amount::Count(most as u64));
        details.requested = Some(Amount::Count(found as u64));
    }))
}

fn check_code(code: &str) -> Result<(), ErrorBody> {
    if code.trim().is_empty() {
        let message = "a scheduled call is empty: give a plain call or a Luau script".to_owned();
        return Err(invalid(Code::ApiValidation, message));
    }
    // Of a script only running it tells.
    if !looks_like_call(code) {
        return Ok(());
    }
    let call = parse(code)
        .map_err(|error| invalid(Code::ApiValidation, format!("a scheduled call cannot be read: {error}")))?;
    Function::find(&call.name).map(drop).map_err(|error| {
        let near = if let ProcessError::UnknownFunction { nearest, .. } = &error {
            nearest.clone()
        } else {
            Vec::new()
        };
        invalid(Code::ProcessFailed, format!("a scheduled call would fail: {error}")).with(|details| {
            details.nearest = near;
        })
    })
}

fn invalid(code: Code, message: String) -> ErrorBody {
    ErrorBody::new(code, message).with(|details| details.field = Some(FIELD.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_minute_1(call: &str) -> ScheduledChange {
        serde_json::from_value(serde_json::json!({ "at_minute": 1, "call": call })).unwrap()
    }

    #[test]
    fn calls_that_cannot_run_are_refused_when_they_are_scheduled() {
        for good in ["add_drug('chloramphenicol', 3)", "cell.advance(1)\nreturn cell.time()"] {
            assert_eq!(check(&[at_minute_1(good)]), Ok(()), "{good}");
        }
        let unknown = check(&[at_minute_1("add_drag('chloramphenicol', 3)")]).unwrap_err();
        assert_eq!((unknown.code, unknown.details.nearest.len()), (Code::ProcessFailed, 5));
        assert_eq!(check(&[at_minute_1(" ")]).unwrap_err().code, Code::ApiValidation);
        assert_eq!(check(&[at_minute_1("advance(1")]).unwrap_err().code, Code::ApiValidation);
        let many = vec![at_minute_1("test_process()"); SCHEDULED_CALLS + 1];
        assert_eq!(check(&many).unwrap_err().code, Code::InvalidConfiguration);
        let long = format!("return {}", "1+".repeat(SCHEDULED_CALLS_BYTES));
        assert_eq!(check(&[at_minute_1(&long)]).unwrap_err().code, Code::InvalidConfiguration);
    }
}
