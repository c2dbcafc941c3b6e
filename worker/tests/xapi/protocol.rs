//! Sessions, dialects, certificates, deadlines, tasks and events.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bioxen_protocol::error::Code;
use bioxen_worker::xcpng::config::Trust;
use bioxen_worker::xcpng::{Deadline, Pool, XcpngError};
use serde_json::{Value, json};

use crate::host::{Call, Host, Reply, otherwise};
use crate::{PASSWORD, settings};

pub(crate) fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(30))
}

/// Soon over, and yet long enough for a busy machine to send a call on a connection that stands.
fn shortly() -> Deadline {
    Deadline::within(Duration::from_secs(1))
}

/// Connection and session stand, by a call that the host does not know.
async fn logged_in(pool: &Pool) {
    pool.call("VM.get_unknown", &[], soon()).await.unwrap_err();
}

#[tokio::test]
async fn a_refusal_carries_xapi_s_code_and_parameters_and_no_secret() {
    let host = Host::start(|call| match call.method.as_str() {
        "VM.get_record" => Reply::Fault("SR_FULL", vec!["10".to_owned(), "4".to_owned()]),
        "VM.get_all" => Reply::Fault("SESSION_INVALID", vec!["OpaqueRef:session-1".to_owned()]),
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_record", &[json!("OpaqueRef:1")], soon()).await.unwrap_err();
    let body = error.body("lab");
    assert_eq!(body.code, Code::Xcpng);
    assert_eq!(
        body.message,
        "pool lab: XAPI refused VM.get_record: SR_FULL [10, 4]; free space on the storage repository, or name another one"
    );
    let xapi = body.details.xapi.clone().unwrap();
    assert_eq!((xapi.code.as_str(), xapi.params), ("SR_FULL", vec!["10".to_owned(), "4".to_owned()]));
    let expired = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    for shown in [format!("{expired} {expired:?} {:?}", expired.body("lab")), format!("{pool:?}")] {
        assert!(!shown.contains("session-1") && !shown.contains(PASSWORD), "{shown}");
    }
    // Logs in anew, so that there is a session to end.
    pool.call("VM.get_record", &[json!("OpaqueRef:1")], soon()).await.unwrap_err();
    pool.close().await;
    assert_eq!(host.count("session.logout"), 1);
    assert!(matches!(pool.call("VM.get_all", &[], soon()).await, Err(XcpngError::Closed)));
}

#[tokio::test]
async fn a_host_that_has_no_jsonrpc_is_spoken_to_in_xml_from_then_on() {
    let host = Host::start(|call| {
        if call.path == "/jsonrpc" {
            return Reply::Status(404);
        }
        let value = match call.method.as_str() {
            "session.login_with_password" => "<value>OpaqueRef:s</value>",
            "VM.get_all" => "<value><array><data><value>OpaqueRef:1</value></data></array></value>",
            _ => return Reply::Never,
        };
        let text = format!(
            "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>\
             <value>Success</value></member><member><name>Value</name>{value}</member></struct></value></param>\
             </params></methodResponse>"
        );
        Reply::Text("text/xml", text)
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    for _ in 0..2 {
        assert_eq!(pool.call("VM.get_all", &[], soon()).await.unwrap(), json!(["OpaqueRef:1"]));
    }
    let asked_in_json = host.calls().iter().filter(|call| call.path == "/jsonrpc").count();
    assert_eq!(asked_in_json, 1, "{:?}", host.calls());
}

#[tokio::test]
async fn a_supporter_s_word_leads_to_the_master() {
    let master = Host::start(|call| match call.method.as_str() {
        "VM.get_all" => Reply::Value(json!(["master"])),
        _ => otherwise(call),
    })
    .await;
    let named = master.address.to_string();
    let supporter = Host::start(move |_| Reply::Fault("HOST_IS_SLAVE", vec![named.clone()])).await;
    let (mut settings, _folder) = settings(&supporter);
    settings.trust = Trust::Fingerprints(vec![supporter.fingerprint, master.fingerprint]);
    let pool = Pool::open("lab", settings.clone()).unwrap();
    assert_eq!(pool.call("VM.get_all", &[], soon()).await.unwrap(), json!(["master"]));
    assert_eq!(supporter.count("session.login_with_password"), 1);
    // A supporter cannot send the password to whom it likes.
    settings.trust = Trust::Fingerprints(vec![supporter.fingerprint]);
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    assert!(matches!(error, XcpngError::Certificate { .. }), "{error}");
}

#[tokio::test]
async fn a_host_is_known_by_its_certificate_alone() {
    let host = Host::start(otherwise).await;
    let (good, folder) = settings(&host);
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &host.pem).unwrap();
    let mut by_file = good.clone();
    by_file.trust = Trust::CaFile(ca_file);
    for settings in [good.clone(), by_file] {
        let pool = Pool::open("lab", settings).unwrap();
        let answer = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
        assert!(answer.to_string().contains("MESSAGE_METHOD_UNKNOWN"), "{answer}");
    }
    let mut wrong = good;
    wrong.trust = Trust::Fingerprints(vec![[7; 32]]);
    let pool = Pool::open("lab", wrong).unwrap();
    let logins = host.count("session.login_with_password");
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    assert!(matches!(error, XcpngError::Certificate { .. }), "{error}");
    let error = error.to_string();
    let first = host.fingerprint[..3].iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    assert!(error.contains(&format!("its SHA-256 fingerprint is {first}:")), "{error}");
    assert_eq!(host.count("session.login_with_password"), logins, "the password was shown to a stranger");
}

#[tokio::test]
async fn a_session_that_is_forgotten_is_renewed_once_for_all_who_need_it() {
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&logins);
    let host = Host::start(move |call| match call.method.as_str() {
        "session.login_with_password" => {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            Reply::Value(json!(format!("OpaqueRef:session-{number}")))
        }
        "VM.get_all" if call.session == "OpaqueRef:session-1" => {
            Reply::Fault("SESSION_INVALID", vec!["x".to_owned()])
        }
        "VM.get_all" => Reply::Value(call.session.clone()),
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    let asking = (0..8).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.call("VM.get_all", &[], soon()).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap().unwrap(), json!("OpaqueRef:session-2"));
    }
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_by_everybody_at_once() {
    let host = Host::start(|call| match call.method.as_str() {
        "session.login_with_password" => {
            Reply::Fault("SESSION_AUTHENTICATION_FAILED", vec!["bioxen".to_owned()])
        }
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    for _ in 0..20 {
        let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
        assert!(error.to_string().contains("check username and password"), "{error}");
        assert!(!error.to_string().contains(PASSWORD));
    }
    assert!(host.count("session.login_with_password") < 5);
}

#[tokio::test]
async fn nobody_and_silence_end_in_words_within_the_deadline() {
    let host = Host::start(|call| match call.method.as_str() {
        "VM.get_all" => Reply::Never,
        _ => otherwise(call),
    })
    .await;
    let (mut settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings.clone()).unwrap();
    logged_in(&pool).await;
    let error = pool.call("VM.get_all", &[], shortly()).await.unwrap_err();
    assert!(matches!(error, XcpngError::Deadline { .. }) && error.outcome_unknown(), "{error}");
    // Nobody is given this port by chance, and nobody listens on it.
    let closed = "127.0.0.1:1";
    settings.xapi_url = format!("https://{closed}/").parse().unwrap();
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    assert!(matches!(&error, XcpngError::Unreachable { sent: false, .. }), "{error}");
    assert!(error.to_string().contains(closed), "{error}");
}

#[tokio::test]
async fn no_more_is_asked_at_once_than_the_pool_s_connections_allow() {
    let host = Host::start(|call| match call.method.as_str() {
        "VM.get_all" => Reply::After(Duration::from_millis(30), json!("")),
        _ => otherwise(call),
    })
    .await;
    let (mut settings, _folder) = settings(&host);
    settings.connection_pool_size = 4;
    let pool = Pool::open("lab", settings).unwrap();
    let asking = (0..12).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.call("VM.get_all", &[], soon()).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(host.most_at_once("VM.get_all"), 2, "one of four is the event loop's, one is for logins");
}

/// A host on which every `Async.` call begins a task; the newest is in the state that a test sets.
async fn host_with_task(state: Arc<Mutex<Value>>, events: bool) -> Host {
    let begun = AtomicUsize::new(0);
    let task = |number: usize| format!("OpaqueRef:task-{number}");
    Host::start(move |call: &Call| match call.method.as_str() {
        method if method.starts_with("Async.") => {
            Reply::Value(json!(task(begun.fetch_add(1, Ordering::SeqCst) + 1)))
        }
        "task.get_record" => Reply::Value(state.lock().unwrap().clone()),
        "task.cancel" => {
            *state.lock().unwrap() = json!({ "status": "cancelled" });
            Reply::Value(json!(""))
        }
        "event.from" if events => {
            let (snapshot, newest) = (state.lock().unwrap().clone(), task(begun.load(Ordering::SeqCst)));
            let event = json!({ "class": "task", "operation": "mod", "ref": newest, "snapshot": snapshot });
            Reply::After(Duration::from_millis(20), json!({ "events": [event], "token": "1" }))
        }
        _ => otherwise(call),
    })
    .await
}

#[tokio::test]
async fn a_task_ends_with_its_result_or_its_refusal_and_is_destroyed() {
    let state =
        Arc::new(Mutex::new(json!({ "status": "success", "result": "<value>OpaqueRef:clone</value>" })));
    let host = host_with_task(Arc::clone(&state), true).await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    assert_eq!(pool.run("VM.clone", &[], soon()).await.unwrap(), json!("OpaqueRef:clone"));
    *state.lock().unwrap() =
        json!({ "status": "failure", "error_info": ["HOST_NOT_ENOUGH_FREE_MEMORY", "2", "1"] });
    let error = pool.run("VM.start", &[], soon()).await.unwrap_err();
    assert!(
        error.to_string().contains("VM.start: HOST_NOT_ENOUGH_FREE_MEMORY [2, 1]; free memory"),
        "{error}"
    );
    assert_eq!(host.count("task.destroy"), 2);
}

#[tokio::test]
async fn a_task_of_which_no_event_tells_is_read() {
    let state = Arc::new(Mutex::new(json!({ "status": "success", "result": "" })));
    let host = host_with_task(state, false).await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    assert_eq!(pool.run("VM.start", &[], soon()).await.unwrap(), json!(""));
    assert_eq!(host.count("task.get_record"), 1);
}

#[tokio::test]
async fn a_task_that_is_late_is_cancelled_and_destroyed() {
    let state = Arc::new(Mutex::new(json!({ "status": "pending" })));
    let host = host_with_task(state, true).await;
    let (settings, _folder) = settings(&host);
    let pool = Pool::open("lab", settings).unwrap();
    logged_in(&pool).await;
    let error = pool.run("VM.start", &[], shortly()).await.unwrap_err();
    assert!(error.to_string().starts_with("VM.start was not done within"), "{error}");
    assert_eq!((host.count("task.cancel"), host.count("task.destroy")), (1, 1));
}

/// The tokens of the first events that were asked for, of a host that refuses the second question so.
async fn tokens_after(refusal: &'static str) -> Vec<Value> {
    let asked = Arc::new(AtomicUsize::new(0));
    let logins = Arc::new(AtomicUsize::new(0));
    let host = Host::start(move |call| match call.method.as_str() {
        "session.login_with_password" => {
            Reply::Value(json!(format!("s{}", logins.fetch_add(1, Ordering::SeqCst))))
        }
        "event.from" if asked.fetch_add(1, Ordering::SeqCst) == 1 => {
            Reply::Fault(refusal, vec!["x".to_owned()])
        }
        _ => otherwise(call),
    })
    .await;
    let (settings, _folder) = settings(&host);
    let _pool = Pool::open("lab", settings).unwrap();
    let tokens = || -> Vec<Value> {
        let calls = host.calls().into_iter().filter(|call| call.method == "event.from");
        calls.map(|call| call.params[1].clone()).take(4).collect()
    };
    let enough = async {
        while tokens().len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), enough).await.unwrap();
    tokens()
}

#[tokio::test]
async fn a_lost_place_among_the_events_is_found_again_from_the_beginning() {
    for refusal in ["EVENTS_LOST", "EVENT_FROM_TOKEN_PARSE_FAILURE", "SESSION_INVALID"] {
        assert_eq!(tokens_after(refusal).await, [json!(""), json!("1"), json!(""), json!("1")], "{refusal}");
    }
}

#[tokio::test]
async fn a_host_that_takes_connections_and_is_silent_is_out_of_reach() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Host::start(otherwise).await;
    let (mut settings, _folder) = settings(&host);
    settings.xapi_url = format!("https://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let pool = Pool::open("lab", settings).unwrap();
    let error = pool.call("VM.get_all", &[], soon()).await.unwrap_err();
    assert!(matches!(&error, XcpngError::Unreachable { sent: false, .. }), "{error}");
    assert!(error.to_string().contains("no connection within 5 s"), "{error}");
}
