//! Hosts that mean ill: their users brought them along, and what they answer is journaled and kept in memory.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bioxen_worker::xcpng::Pool;
use bioxen_worker::xcpng::config::SecretSource;
use serde_json::json;

use crate::host::{Host, Reply, otherwise};
use crate::protocol::soon;
use crate::{PASSWORD, settings};

/// What is said of a login, and of a call after it, where a host answers the login so; also of the next one, and in logs.
async fn said_of(login: impl Fn() -> Reply + Send + Sync + 'static) -> String {
    let host = Host::start(move |call| match call.method.as_str() {
        "session.login_with_password" => login(),
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    let mut said = String::new();
    for _ in 0..2 {
        let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
        said.push_str(&format!("{error} {error:?} {:?} {pool:?}\n", error.body("lab")));
    }
    said
}

#[tokio::test]
async fn a_host_that_repeats_the_request_of_a_login_does_not_have_the_password_told() {
    let request =
        json!({ "method": "session.login_with_password", "params": ["root", PASSWORD] }).to_string();
    let (as_param, as_code) = (request.clone(), json!({ "error": { "code": 1, "message": request } }));
    let (no_code, in_xml) = (json!({ "error": [[PASSWORD]] }), format!("<a>{PASSWORD}</a></{PASSWORD}>"));
    let answers: [Box<dyn Fn() -> Reply + Send + Sync>; 7] = [
        Box::new(move || Reply::Fault("INTERNAL_ERROR", vec![as_param.clone(), PASSWORD.to_owned()])),
        Box::new(move || Reply::Text("application/json", as_code.to_string())),
        Box::new(move || Reply::Text("application/json", no_code.to_string())),
        Box::new(move || Reply::Text("text/xml", in_xml.clone())),
        Box::new(|| Reply::Text("application/json", format!("{PASSWORD}{{"))),
        Box::new(|| Reply::Fault("HOST_IS_SLAVE", vec![PASSWORD.to_owned()])),
        Box::new(|| Reply::Fault("HOST_IS_SLAVE", vec![format!("{PASSWORD} is no host")])),
    ];
    for answer in answers {
        let said = said_of(answer).await;
        assert!(said.contains("session.login_with_password") && !said.contains(PASSWORD), "{said}");
    }
    let refused = said_of(|| Reply::Fault("SESSION_AUTHENTICATION_FAILED", vec![PASSWORD.to_owned()])).await;
    assert!(refused.contains("SESSION_AUTHENTICATION_FAILED;") && !refused.contains(PASSWORD), "{refused}");
    let elsewhere = said_of(|| Reply::Fault("HOST_IS_SLAVE", vec!["127.0.0.1:1".to_owned()])).await;
    assert!(elsewhere.contains("127.0.0.1:1 cannot be reached"), "{elsewhere}");
}

/// A host whose word for everything but a login is its user's password.
async fn host_that_repeats() -> Host {
    Host::start(|call| match call.method.as_str() {
        "session.login_with_password" => Reply::Value(json!("OpaqueRef:session-1")),
        "VM.get_all" => Reply::Fault("HOST_IS_SLAVE", vec![PASSWORD.to_owned()]),
        "Async.VM.start" => Reply::Value(json!("OpaqueRef:task-1")),
        "event.from" => {
            let failed = json!({ "status": "failure", "error_info": ["NO", PASSWORD] });
            let told =
                json!({ "class": "task", "operation": "mod", "ref": "OpaqueRef:task-1", "snapshot": failed });
            Reply::After(Duration::from_millis(20), json!({ "events": [told], "token": "1" }))
        }
        _ => Reply::Fault("NO", vec![format!("with {PASSWORD}")]),
    })
    .await
}

#[tokio::test]
async fn the_password_that_came_with_a_vm_is_told_by_no_later_answer_either() {
    let host = host_that_repeats().await;
    let (mut settings, _folder) = settings(&host);
    settings.password = SecretSource::Opened(settings.password.read().unwrap());
    let pool = Pool::open("own", settings).unwrap();
    let mut errors = Vec::new();
    for method in ["VM.get_record", "VM.get_all", "VM.get_all"] {
        errors.push(pool.call(method, &[], soon()).await.unwrap_err());
    }
    errors.push(pool.run("VM.start", &[], soon()).await.unwrap_err());
    for error in errors {
        let said = format!("{error} {error:?} {:?}", error.body("own"));
        assert!(!said.contains(PASSWORD), "{said}");
    }
}

#[tokio::test]
async fn a_long_refusal_is_cut_and_stays_on_its_line() {
    let host = Host::start(|call| match call.method.as_str() {
        "VM.get_all" => Reply::Fault("SR_FULL", vec![format!("\r\n{}", "ß".repeat(100_000)); 100]),
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    let said = error.to_string();
    assert!(error.is("SR_FULL") && said.len() < 10_000 && !said.contains('\n'), "{} bytes", said.len());
}

#[tokio::test]
async fn a_host_that_tells_events_without_an_end_is_asked_ten_times_a_second_in_the_long_run() {
    let begun = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&begun);
    let host = Host::start(move |call| match call.method.as_str() {
        "event.from" => {
            asked.lock().unwrap().push(Instant::now());
            Reply::Value(json!({ "events": [], "token": "1" }))
        }
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let _pool = Pool::open("lab", settings).unwrap();
    let enough = async {
        while begun.lock().unwrap().len() < 32 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), enough).await.unwrap();
    let asked = begun.lock().unwrap();
    // Ten may be asked at once. A question may take long to arrive, so half of the time is asked for.
    assert!(asked[31] - asked[11] >= Duration::from_secs(1), "{:?}", asked[31] - asked[11]);
}

#[tokio::test]
async fn an_answer_that_no_pool_gives_is_not_taken_and_the_next_one_is() {
    let host = Host::start(|call| match call.method.as_str() {
        "VM.get_all" => Reply::Value(json!("x".repeat(33 << 20))),
        "VM.get_all_records" => Reply::Value(json!("x".repeat(31 << 20))),
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    assert!(error.to_string().contains("more than 33554432 bytes"), "{error}");
    assert!(pool.call("VM.get_all_records", &[], soon()).await.is_ok());
}
