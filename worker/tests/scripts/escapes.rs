//! Every case ends as it must, within its limits, and the pool answers the next good job.

use bioxen_guest::{Failure, Job, Limits, Value};
use bioxen_hypervisor::ChassisName;

use crate::cases::{CASES, End};
use crate::support::{Guests, fresh, job};

/// Small, so that each case ends soon.
const LIMITS: Limits = Limits {
    fuel: 1_500_000,
    memory_kb: 16 * 1024,
    wall_ms: 1_500,
    advance_ticks: 20_000,
    result_bytes: 48 * 1024,
};

/// What a busy machine may take until another limit than time is met.
const PATIENCE_MS: u64 = 120_000;

fn bounded(code: &str, wall_ms: u64) -> Job {
    Job { limits: Limits { wall_ms, ..LIMITS }, ..job(&fresh(ChassisName::Syn3a), code) }
}

/// Only what may end by time ends by it.
fn wall_ms(end: End) -> u64 {
    match end {
        End::Wall | End::Stopped | End::Some => LIMITS.wall_ms,
        _ => PATIENCE_MS,
    }
}

#[test]
fn nothing_escapes_and_nothing_lasts() {
    let guests = Guests::start(2);
    let mut wrong = Vec::new();
    for (code, end) in CASES {
        let outcome = guests.outcome(&bounded(code, wall_ms(*end)));
        if !ends_as(*end, &outcome.result.clone().map(|done| done.value)) {
            wrong.push(format!("{code}\n    must end as {end:?}, not {:?}", outcome.result));
        }
        assert!(outcome.spent.fuel <= LIMITS.fuel && outcome.spent.ticks <= LIMITS.advance_ticks, "{code}");
        assert_eq!(guests.value("return 1 + 1"), Value::Whole(2), "after {code}");
    }
    let generated = generated();
    for (name, code) in &generated {
        let result = guests.outcome(&bounded(code, LIMITS.wall_ms)).result;
        assert!(!matches!(result, Err(Failure::Killed { .. })), "{name}: {result:?}");
        assert_eq!(guests.value("return 1 + 1"), Value::Whole(2), "after {name}");
    }
    let count = CASES.len() + generated.len();
    println!("{count} cases of escape and exhaustion, each ended within its limits");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 60);
}

fn ends_as(end: End, result: &Result<Value, Failure>) -> bool {
    match (end, result) {
        (End::Fuel, Err(Failure::Fuel { .. }))
        | (End::Memory, Err(Failure::Memory { .. }))
        | (End::Wall, Err(Failure::Wall { .. }))
        | (End::Stopped, Err(Failure::Fuel { .. } | Failure::Wall { .. }))
        | (End::Advance, Err(Failure::Advance { .. }))
        | (End::TooMany, Err(Failure::TooMany { .. })) => true,
        (End::Error(words), Err(Failure::Runtime { message, .. } | Failure::BadArgument { message })) => {
            message.contains(words) && message.len() < 2_000
        }
        (End::Refused(words), Err(Failure::Result { reason })) => reason.contains(words),
        (End::True, Ok(value)) => *value == Value::Bool(true),
        (End::Some, result) => !matches!(result, Err(Failure::Killed { .. })),
        _ => false,
    }
}

/// Sources that are long or deep; how the compiler ends is its own affair.
fn generated() -> Vec<(&'static str, String)> {
    vec![
        ("deep brackets", format!("return {}1{}", "(".repeat(10_000), ")".repeat(10_000))),
        ("deep tables", format!("return {}{}", "{".repeat(10_000), "}".repeat(10_000))),
        ("deep functions", format!("{}{}", "return function() ".repeat(2_000), "end ".repeat(2_000))),
        ("deep blocks", format!("{}{}", "do ".repeat(5_000), "end ".repeat(5_000))),
        ("a long sum", format!("return 1{}", "+1".repeat(20_000))),
        ("a long concatenation", format!("return ''{}", "..'x'".repeat(10_000))),
        ("many locals", "local x = 1 ".repeat(5_000)),
        ("many constants", (0..8_000).map(|n| format!("x{n}=1 ")).collect()),
        ("deep types", format!("type T = {}number{}", "{".repeat(5_000), "}".repeat(5_000))),
        ("deep not", format!("return {}1", "not ".repeat(10_000))),
        ("deep calls", format!("return f{}", "()".repeat(20_000))),
        ("no text but noise", "\u{fffd}\u{7f}%$#@".repeat(100)),
        ("nothing", String::new()),
    ]
}
