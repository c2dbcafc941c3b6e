//! The table reads, means what it should, and agrees with the published data model where that is present.

use std::path::Path;

use super::*;

#[test]
fn a_call_of_too_few_parameters_of_other_types_or_unknown_values_is_refused() {
    let model = Model::served().expect("the table reads");
    let session = Value::text("OpaqueRef:s");
    let vm = Value::text("OpaqueRef:v");
    let check = |method: &str, params: &[Value]| {
        let signature = model.signature(method).expect("a call that is served");
        model.check(method, signature, params).map_err(|failure| failure.params.join(" "))
    };
    let yes = Value::Bool(true);
    assert_eq!(check("VM.start", &[session.clone(), vm.clone(), yes.clone(), yes.clone()]), Ok(()));
    assert_eq!(check("VM.start", &[session.clone(), vm.clone()]), Err("VM.start 4 2".to_owned()));
    let text = check("VM.start", &[session.clone(), vm.clone(), Value::text("true"), yes]);
    assert_eq!(text, Err("start_paused".to_owned()));
    let record = |value: &str| Value::map([("mode", Value::text(value))]);
    assert_eq!(check("VBD.create", &[session.clone(), record("RO")]), Ok(()));
    assert_eq!(check("VBD.create", &[session.clone(), record("ro")]), Err("args".to_owned()));
    let unknown = Value::map([("no_field", Value::void())]);
    assert_eq!(check("VBD.create", &[session, unknown]), Err("args".to_owned()));
}

#[test]
fn only_calls_that_do_something_are_asynchronous() {
    let model = Model::served().expect("the table reads");
    assert!(model.signature("Async.VM.clone").is_some());
    assert!(model.signature("Async.VDI.destroy").is_some());
    assert!(model.signature("Async.VM.get_record").is_none());
    assert!(model.signature("Async.session.login_with_password").is_none());
}

#[test]
fn what_is_served_is_as_the_published_data_model_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/xapi");
    let Some(official) = official(&folder).expect("a readable data model") else {
        eprintln!("skipped: there is no {}, the published data model", folder.display());
        return;
    };
    let served = Model::served().expect("the table reads");
    for (name, signature) in &served.calls {
        let mut signature = signature.clone();
        let theirs = official.calls.get(name).unwrap_or_else(|| panic!("{name} is no call of XAPI"));
        signature.plain = false;
        if served.calls[name].plain {
            // Names of plain calls' parameters are ours.
            for (ours, theirs) in signature.parameters.iter_mut().zip(&theirs.parameters) {
                ours.name.clone_from(&theirs.name);
            }
        }
        assert_eq!(signature, *theirs, "{name}");
    }
    for (class, fields) in &served.fields {
        assert_eq!(*fields, official.fields[class], "{class}");
    }
    for (name, values) in &served.enums {
        assert_eq!(*values, official.enums[name], "{name}");
    }
    for (code, names) in &served.errors {
        assert_eq!(*names, official.errors[code], "{code}");
    }
}
