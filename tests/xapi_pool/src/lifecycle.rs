//! Which operations a VM allows in which state, and in which order that is looked at. Data, and one function.
//!
//! ```text
//!            start            pause
//!   Halted ---------> Running ------> Paused
//!     ^  ^             |    ^ <------   |
//!     |  '- shutdown --'    |  unpause  | hard_shutdown
//!     |      suspend |      | resume    |
//!     |              v      |           |
//!     '------------ Suspended           |
//!     '---------------------------------'
//! ```

use crate::store::Fields;
use crate::value::{Failure, Value};

/// An operation on a VM.
#[derive(Debug)]
pub(crate) struct Rule {
    /// As in `vm_operations`.
    pub(crate) operation: &'static str,
    /// Where it is allowed, in the order in which an error lists them.
    pub(crate) from: &'static [&'static str],
    /// Whether a template allows it.
    pub(crate) template: bool,
    /// Whether a snapshot allows it.
    pub(crate) snapshot: bool,
}

const HALTED: &[&str] = &["Halted"];
const RUNNING: &[&str] = &["Running"];
const ANY: &[&str] = &["Halted", "Paused", "Suspended", "Running"];
const STANDING: &[&str] = &["Paused", "Suspended", "Running"];

/// Every operation that the pool knows.
pub(crate) const RULES: &[Rule] = &[
    rule("clone", HALTED, true, true),
    rule("copy", HALTED, true, true),
    rule("provision", HALTED, true, false),
    rule("start", HALTED, false, false),
    rule("start_on", HALTED, false, false),
    rule("changing_memory_limits", HALTED, true, false),
    rule("changing_static_range", HALTED, true, false),
    rule("changing_VCPUs", HALTED, true, false),
    rule("changing_dynamic_range", &["Halted", "Running"], true, false),
    rule("pause", RUNNING, false, false),
    rule("unpause", &["Paused"], false, false),
    rule("suspend", RUNNING, false, false),
    rule("resume", &["Suspended"], false, false),
    rule("resume_on", &["Suspended"], false, false),
    rule("clean_shutdown", RUNNING, false, false),
    rule("clean_reboot", RUNNING, false, false),
    rule("hard_reboot", &["Paused", "Running"], false, false),
    rule("hard_shutdown", STANDING, false, true),
    rule("snapshot", ANY, false, false),
    rule("checkpoint", STANDING, false, false),
    rule("revert", ANY, false, true),
    rule("destroy", &["Halted", "Suspended"], true, true),
];

const fn rule(
    operation: &'static str,
    from: &'static [&'static str],
    template: bool,
    snapshot: bool,
) -> Rule {
    Rule { operation, from, template, snapshot }
}

/// Whether `vm`, with reference `reference`, allows `operation` now.
///
/// # Errors
/// The first that applies: blocked by somebody, the power state, another operation, a template, a snapshot.
pub(crate) fn check(vm: &Fields, reference: &str, operation: &str) -> Result<(), Failure> {
    let rule = RULES.iter().find(|rule| rule.operation == operation);
    let rule = rule.ok_or_else(|| Failure::new("INTERNAL_ERROR", &[&format!("no rule for {operation}")]))?;
    let field = |name: &str| vm.get(name).cloned().unwrap_or(Value::Null);
    if let Some(code) = field("blocked_operations").get(operation) {
        return Err(Failure::new("OPERATION_BLOCKED", &[reference, code.as_text()]));
    }
    let state = field("power_state");
    if !rule.from.contains(&state.as_text()) {
        let expected = rule.from.join(", ").to_lowercase();
        let actual = state.as_text().to_lowercase();
        return Err(Failure::new("VM_BAD_POWER_STATE", &[reference, &expected, &actual]));
    }
    if let Value::Map(current) = field("current_operations")
        && let Some((task, under_way)) = current.first_key_value()
        && !goes_beside(under_way.as_text(), operation)
    {
        let params = ["VM", reference, under_way.as_text(), task];
        return Err(Failure::new("OTHER_OPERATION_IN_PROGRESS", &params));
    }
    let (is_snapshot, is_template) = (field("is_a_snapshot").is_true(), field("is_a_template").is_true());
    if is_template && !is_snapshot && !rule.template {
        return Err(Failure::new("VM_IS_TEMPLATE", &[reference]));
    }
    let refused = |reason: &str| Err(Failure::new("OPERATION_NOT_ALLOWED", &[reason]));
    if is_snapshot && !rule.snapshot {
        return refused("the operation is not possible on a snapshot");
    }
    if operation == "provision" && !is_template {
        return refused("only templates can be provisioned");
    }
    if operation == "revert" && !is_snapshot {
        return refused("only snapshots can be reverted");
    }
    if field("is_control_domain").is_true() {
        return refused("the control domain allows no operations");
    }
    Ok(())
}

/// What `vm` allows now, as its record says.
pub(crate) fn allowed(vm: &Fields, reference: &str) -> Value {
    let allowed = RULES.iter().filter(|rule| check(vm, reference, rule.operation).is_ok());
    Value::texts(allowed.map(|rule| rule.operation))
}

/// Copies may be made beside each other, as may snapshots.
fn goes_beside(under_way: &str, operation: &str) -> bool {
    let together = [["clone", "copy"], ["snapshot", "checkpoint"]];
    together.iter().any(|group| group.contains(&under_way) && group.contains(&operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(state: &str) -> Fields {
        [("power_state".to_owned(), Value::text(state))].into()
    }

    fn refusal(vm: &Fields, operation: &str) -> Vec<String> {
        let Err(Failure { code, params }) = check(vm, "OpaqueRef:v", operation) else { return vec![] };
        std::iter::once(code).chain(params).collect()
    }

    #[test]
    fn a_vm_in_another_state_says_which_it_expected_in_lower_case() {
        let expected = ["VM_BAD_POWER_STATE", "OpaqueRef:v", "halted", "running"];
        assert_eq!(refusal(&vm("Running"), "start"), expected);
        let expected = ["VM_BAD_POWER_STATE", "OpaqueRef:v", "paused, suspended, running", "halted"];
        assert_eq!(refusal(&vm("Halted"), "hard_shutdown"), expected);
        assert!(refusal(&vm("Halted"), "start").is_empty());
    }

    #[test]
    fn the_power_state_is_looked_at_before_what_is_under_way_and_that_before_templates() {
        let mut vm = vm("Running");
        vm.insert("current_operations".to_owned(), Value::map([("OpaqueRef:t", Value::text("pause"))]));
        vm.insert("is_a_template".to_owned(), Value::Bool(true));
        assert_eq!(refusal(&vm, "start")[0], "VM_BAD_POWER_STATE");
        vm.insert("power_state".to_owned(), Value::text("Halted"));
        let expected = ["OTHER_OPERATION_IN_PROGRESS", "VM", "OpaqueRef:v", "pause", "OpaqueRef:t"];
        assert_eq!(refusal(&vm, "start"), expected);
        vm.remove("current_operations");
        assert_eq!(refusal(&vm, "start"), ["VM_IS_TEMPLATE", "OpaqueRef:v"]);
    }

    #[test]
    fn clones_are_made_beside_each_other() {
        let mut vm = vm("Halted");
        vm.insert("current_operations".to_owned(), Value::map([("OpaqueRef:t", Value::text("clone"))]));
        assert!(refusal(&vm, "clone").is_empty());
        assert_eq!(refusal(&vm, "start")[0], "OTHER_OPERATION_IN_PROGRESS");
    }
}
