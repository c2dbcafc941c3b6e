//! `xapi-pool`: a test pool for callers that are no Rust. It says on standard output where it is, then answers each line
//! on standard input (JSON) with one line, and ends with its input.
//!
//! ```text
//!   <- {"url": "https://127.1.2.1:40123", "fingerprint": "..", "certificates": "..pem..", "username": .., "password": ..}
//!   -> {"inject": {"fault": "lose_answer", "method": "VM.clone"}, "times": 1}
//!   -> {"restart": true}   {"clear": true}   {"census": true}   {"violations": true}
//! ```

use std::io::{BufRead, Write};
use std::process::ExitCode;

use bioxen_xapi_pool::{Fault, Options, Pool};
use serde_json::{Value as Json, json};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it; that is no reason to end otherwise.
            let _ = writeln!(std::io::stderr(), "xapi-pool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let options = options(std::env::args().skip(1))?;
    let (username, password) = (options.username.clone(), options.password.clone());
    let template = options.template_name.clone();
    if options.guests {
        Pool::guests_can_run(&options)?;
    }
    let hosts = options.hosts;
    let mut pool = Pool::start(options)?;
    let mut output = std::io::stdout().lock();
    let urls: Vec<_> = (0..hosts).map(|host| pool.url_of(host)).collect();
    let hello = json!({
        "url": pool.url(), "urls": urls, "fingerprint": pool.fingerprint_of(0),
        "certificates": pool.certificates_pem(), "username": username, "password": password,
        "template": template,
    });
    writeln!(output, "{hello}")?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        let answer = obey(&pool, &line?);
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    let violations = pool.take_violations();
    pool.assert_no_violations();
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n").into()) }
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    for argument in arguments {
        match argument.split_once('=') {
            None if argument == "--guests" => options.guests = true,
            Some(("--hosts", hosts)) => {
                options.hosts =
                    hosts.parse().map_err(|_| format!("--hosts={hosts}: a number was expected"))?;
            }
            _ => return Err(format!("{argument} is not known; there are --guests and --hosts=N")),
        }
    }
    Ok(options)
}

fn obey(pool: &Pool, line: &str) -> Json {
    let Ok(order) = serde_json::from_str::<Json>(line) else { return json!({"error": "no JSON"}) };
    if let Some(fault) = order.get("inject") {
        let times = order["times"].as_u64().and_then(|times| u32::try_from(times).ok()).unwrap_or(1);
        return match serde_json::from_value::<Fault>(fault.clone()) {
            Ok(fault) => {
                pool.inject(fault, times);
                json!({"ok": true})
            }
            Err(error) => json!({"error": error.to_string()}),
        };
    }
    if order.get("restart").is_some() {
        pool.restart();
        return json!({"ok": true});
    }
    if order.get("clear").is_some() {
        pool.clear_faults();
        return json!({"ok": true});
    }
    if order.get("violations").is_some() {
        return json!(pool.violations());
    }
    let census = pool.census();
    json!({
        "sessions": census.sessions, "tasks": census.tasks, "vms": census.vms, "disks": census.disks,
        "vbds": census.vbds, "vifs": census.vifs, "guests": census.guests, "snapshots": census.snapshots,
    })
}
