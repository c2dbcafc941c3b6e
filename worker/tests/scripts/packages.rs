//! Modules of packages in scripts: run once a job, unchangeable, within the script's limits, and no way out.

use std::collections::BTreeMap;

use bioxen_guest::{Failure, Job, JobPackage, Limits, Value};
use bioxen_hypervisor::ChassisName;

use crate::support::{Guests, fresh, job};

const LIMITS: Limits = Limits {
    fuel: 1_500_000,
    memory_kb: 16 * 1024,
    wall_ms: 60_000,
    advance_ticks: 20_000,
    result_bytes: 48 * 1024,
};

fn with(modules: &[(&str, &str)], code: &str) -> Job {
    let modules: BTreeMap<String, String> =
        modules.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
    let packages = vec![JobPackage { name: "p".to_owned(), modules }];
    Job { packages, limits: LIMITS, ..job(&fresh(ChassisName::Syn3a), code) }
}

#[test]
fn a_module_is_run_once_and_found_by_package_and_by_name() {
    let guests = Guests::start(1);
    let count = "local n = 0\nlocal m = {inner = {1}}\nfunction m.next() n += 1 return n end\nreturn m";
    let uses = "return {twice = function(f) return f() + f() end, minutes = cell.time()}";
    let code = "local a, b = package('p').count, package('p/count')\n\
                return a == b, a.next(), b.next(), package('p/uses').twice(a.next), package('p').uses.minutes";
    let outcome = guests.outcome(&with(&[("count", count), ("uses", uses)], code));
    let expected =
        vec![Value::Bool(true), Value::Whole(1), Value::Whole(2), Value::Whole(7), Value::Whole(0)];
    assert_eq!(outcome.result.map(|done| done.value), Ok(Value::List(expected)));
}

#[test]
fn modules_that_are_wrong_end_the_job_in_words_or_by_its_limits() {
    let guests = Guests::start(1);
    let cases: [(&str, &str, &str); 14] = [
        ("return 1", "return package('p')", "p/m returns no table"),
        ("return", "return package('p')", "p/m returns no table"),
        ("error('no')", "return package('p')", "no"),
        ("this is no luau", "return package('p')", "p/m"),
        ("\u{1b}Lua", "return package('p')", ""),
        ("return package('p/m')", "return package('p')", "asks for itself"),
        ("return package('p')", "return package('p')", "asks for itself"),
        ("return {a = {b = 1}}", "package('p').m.a.b = 2", "readonly"),
        ("return {a = 1}", "package('p').m = nil", "readonly"),
        ("return {a = 1}", "return rawset(package('p').m, 'a', 2)", "readonly"),
        ("return {}", "return package('q')", "the nearest: p"),
        ("return {}", "return package('p/n')", "the nearest: m"),
        ("return {}", "return package()", ""),
        ("return {}", "return package('p/../../etc/passwd')", "there is no module"),
    ];
    for (source, code, said) in cases {
        match guests.outcome(&with(&[("m", source)], code)).result {
            Err(Failure::Runtime { message, .. }) => assert!(message.contains(said), "{code}: {message}"),
            other => panic!("{source:?}, {code}: {other:?}"),
        }
    }
    let endless = guests.outcome(&with(&[("m", "while true do end")], "return package('p')")).result;
    assert!(matches!(endless, Err(Failure::Fuel { .. })), "{endless:?}");
    let caught = "return pcall(package, 'p')";
    let endless = guests.outcome(&with(&[("m", "while true do end")], caught)).result;
    assert!(matches!(endless, Err(Failure::Fuel { .. })), "{endless:?}");
    let large = "local t = {} while true do table.insert(t, string.rep('x', 1e6)) end";
    let full = guests.outcome(&with(&[("m", large)], "return package('p')")).result;
    assert!(matches!(full, Err(Failure::Memory { .. })), "{full:?}");
    assert_eq!(guests.value("return 1 + 1"), Value::Whole(2));
}

#[test]
fn tables_of_a_module_that_hold_each_other_are_unchangeable_too() {
    let guests = Guests::start(1);
    let cycle = "local a, b = {}, {}\na.b, b.a = b, a\nreturn setmetatable(a, {__index = function() error('asked') end})";
    let code =
        "local m = package('p/m')\nlocal ok = pcall(function() m.b.a.x = 1 end)\nreturn ok, m.b.a == m";
    let outcome = guests.outcome(&with(&[("m", cycle)], code));
    let expected = vec![Value::Bool(false), Value::Bool(true)];
    assert_eq!(outcome.result.map(|done| done.value), Ok(Value::List(expected)));
}

#[test]
fn a_job_with_packages_has_the_same_outcome_in_another_process() {
    let guests = Guests::start(2);
    let module = "return {grow = function() cell.advance(7.3) return cell.metrics().growth_rate_per_min end}";
    let asked = with(&[("m", module)], "return package('p').m.grow(), math.random()");
    let outcomes = guests.together(&[asked.clone(), asked.clone(), asked]);
    assert!(outcomes[0].result.is_ok(), "{:?}", outcomes[0]);
    assert!(outcomes.iter().all(|outcome| outcome == &outcomes[0]));
}
