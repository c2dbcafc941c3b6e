//! What a guest is handed: cloud-init's user data, from a NoCloud drive or the xenstore, or plain keys in the xenstore.
//! Of cloud-init it knows what concerns logging in, and files.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use yaml_rust2::{Yaml, YamlLoader};

use super::image;
use crate::value::Value;

const KEY_TYPES: [&str; 4] = ["ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-", "sk-ssh-ed25519"];
const PRIVATE_KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const DEFAULT_MODE: u32 = 0o644;

/// What is to be set up in a guest.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seed {
    /// Users besides those that the disk has.
    pub(super) users: Vec<String>,
    /// A user, or the disk's own and root where there is none; a key.
    keys: Vec<(Option<String>, String)>,
    /// The private key that sshd shall have.
    pub(super) host_key: Option<String>,
    /// Path, bytes, mode.
    pub(super) files: Vec<(String, Vec<u8>, u32)>,
}

impl Seed {
    /// From what stands below `vm-data/`, by what each value is: user data, a private key, a public key.
    pub(super) fn of_xenstore(data: &Value) -> Self {
        let mut seed = Self::default();
        let Value::Map(entries) = data else { return seed };
        for (key, value) in entries.iter().filter(|(key, _)| key.starts_with("vm-data/")) {
            let text = plain(value.as_text());
            if text.starts_with("#cloud-config") {
                seed.add_user_data(&text);
            } else if text.contains(PRIVATE_KEY) {
                seed.host_key = Some(text);
            } else if is_key(&text) && !key.contains("host") {
                seed.keys.extend(text.lines().map(|line| (None, line.to_owned())));
            }
        }
        seed
    }

    /// Reads an uploaded disk; one that is no NoCloud drive means nothing to a guest.
    pub(super) fn add_image(&mut self, path: &Path) {
        let files = image::nocloud(path);
        // cloud-init takes a drive only with both.
        if let (Some(user_data), true) = (files.get("user-data"), files.contains_key("meta-data")) {
            self.add_user_data(&String::from_utf8_lossy(user_data));
        }
    }

    /// Those who may log in as `user`.
    pub(super) fn keys_of<'a>(&'a self, user: &'a str, default: &'a str) -> impl Iterator<Item = &'a str> {
        let is_meant = move |who: &Option<String>| match who {
            Some(who) => who == user,
            None => user == default || user == "root",
        };
        self.keys.iter().filter(move |(who, _)| is_meant(who)).map(|(_, key)| key.as_str())
    }

    fn add_user_data(&mut self, text: &str) {
        if !text.starts_with("#cloud-config") {
            return;
        }
        let Some(document) = YamlLoader::load_from_str(text).ok().and_then(|mut all| all.pop()) else {
            return;
        };
        for key in texts(&document["ssh_authorized_keys"]) {
            self.keys.push((None, key));
        }
        for user in document["users"].as_vec().into_iter().flatten() {
            // "default" stands for the disk's own.
            let Some(name) = user["name"].as_str() else { continue };
            self.users.push(name.to_owned());
            for list in ["ssh_authorized_keys", "ssh-authorized-keys"] {
                self.keys.extend(texts(&user[list]).map(|key| (Some(name.to_owned()), key)));
            }
        }
        if let Some(key) = document["ssh_keys"]["ed25519_private"].as_str() {
            self.host_key = Some(key.to_owned());
        }
        for file in document["write_files"].as_vec().into_iter().flatten() {
            let (Some(path), Some(content)) = (file["path"].as_str(), file["content"].as_str()) else {
                continue;
            };
            let encoded = matches!(file["encoding"].as_str(), Some("b64" | "base64"));
            let bytes = if encoded {
                BASE64.decode(content.split_whitespace().collect::<String>()).unwrap_or_default()
            } else {
                content.as_bytes().to_vec()
            };
            let mode = file["permissions"].as_str().and_then(|mode| u32::from_str_radix(mode, 8).ok());
            self.files.push((path.to_owned(), bytes, mode.unwrap_or(DEFAULT_MODE)));
        }
    }
}

/// Text that may have come in base64, as the xenstore's values must where they have several lines.
fn plain(text: &str) -> String {
    let decoded = BASE64.decode(text.split_whitespace().collect::<String>()).ok();
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| text.to_owned())
}

fn is_key(text: &str) -> bool {
    KEY_TYPES.iter().any(|kind| text.starts_with(kind))
}

fn texts(list: &Yaml) -> impl Iterator<Item = String> + '_ {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_DATA: &str = "#cloud-config\nssh_authorized_keys:\n  - ssh-ed25519 AAAA me\nusers:\n  - default\n  \
        - name: ann\n    ssh_authorized_keys: [ssh-ed25519 BBBB ann]\nssh_keys:\n  ed25519_private: |\n    KEY\n\
        write_files:\n  - path: /etc/mark\n    encoding: b64\n    content: aGk=\n    permissions: '0600'\n";

    #[test]
    fn user_data_says_who_may_log_in_and_which_key_the_host_has() {
        let mut seed = Seed::default();
        seed.add_user_data(USER_DATA);
        let of = |user: &str| seed.keys_of(user, "bioxen").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of("bioxen"), ["ssh-ed25519 AAAA me"]);
        assert_eq!(of("root"), ["ssh-ed25519 AAAA me"]);
        assert_eq!(of("ann"), ["ssh-ed25519 BBBB ann"]);
        assert_eq!(seed.host_key.as_deref(), Some("KEY\n"));
        assert_eq!(seed.files, [("/etc/mark".to_owned(), b"hi".to_vec(), 0o600)]);
    }

    #[test]
    fn the_xenstore_hands_the_same_in_plain_or_encoded() {
        let given = [
            ("vm-data/user-data", Value::text(BASE64.encode(USER_DATA))),
            ("elsewhere", Value::text("ssh-ed25519 CCCC no")),
            ("vm-data/key", Value::text("ssh-ed25519 DDDD you")),
        ];
        let seed = Seed::of_xenstore(&Value::map(given));
        let keys: Vec<_> = seed.keys_of("root", "bioxen").collect();
        assert_eq!(keys, ["ssh-ed25519 DDDD you", "ssh-ed25519 AAAA me"]);
    }
}
