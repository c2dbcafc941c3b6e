//! `bioxen xcpng key` and `seal`: the pair of keys for pools that VMs bring along, and a password sealed with it before it is
//! sent anywhere.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bioxen_protocol::id::UserId;
use bioxen_protocol::pool::about;
use bioxen_sealing::{OpeningKey, SealingKey};
use clap::Args;

use crate::exit::Failure;
use crate::render;

/// Of a password on standard input.
const PASSWORD_BYTES: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// The coordinators' half of the key, as `bioxen xcpng key` prints it
    #[arg(long, value_name = "KEY")]
    sealing_key: SealingKey,
    /// The user whose VMs may use the password
    #[arg(long)]
    user: UserId,
    /// The address that it is for, as in xcpng_config
    #[arg(long, value_name = "URL")]
    xapi_url: String,
    /// The account that it is for, as in xcpng_config
    #[arg(long)]
    username: String,
    /// The fingerprints that it is for, as in xcpng_config; repeatable, none where the workers' ca_file signs the hosts
    #[arg(long = "tls-fingerprint", value_name = "SHA256")]
    tls_fingerprints: Vec<String>,
}

/// Makes a key's file unless it is there, and prints the half that is no secret.
pub(super) fn key(path: &Path) -> Result<(), Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::other(format!("{}: {error}", path.display()));
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let key = match new {
        Ok(mut file) => {
            let key = OpeningKey::generate().map_err(|error| wrong(&error))?;
            let written = writeln!(file, "{}", key.reveal()).and_then(|()| file.sync_all());
            written.map_err(|error| wrong(&error))?;
            key
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
            text.parse::<OpeningKey>().map_err(|error| wrong(&error))?
        }
        Err(error) => return Err(wrong(&error)),
    };
    render::line(&key.sealing_key().to_string()).map_err(|error| Failure::other(error.to_string()))
}

/// Seals the password on standard input: it stands in no argument, which others on the machine could read.
pub(super) fn seal(args: &SealArgs) -> Result<(), Failure> {
    let mut password = String::new();
    std::io::stdin()
        .read_line(&mut password)
        .map_err(|error| Failure::usage(format!("password: {error}")))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_BYTES {
        return Err(Failure::usage(format!(
            "expected the password on standard input, one line of 1 to {PASSWORD_BYTES} bytes"
        )));
    }
    let about = about(&args.user, &args.xapi_url, &args.username, &args.tls_fingerprints);
    let sealed =
        args.sealing_key.seal(password, &about).map_err(|error| Failure::other(error.to_string()))?;
    render::line(&sealed.to_string()).map_err(|error| Failure::other(error.to_string()))
}
