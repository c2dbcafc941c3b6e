//! `config.xcpng_config` of `create`, as it was sent: what of it is right, intake says. It may hold a password, so it shows
//! the names of its fields and none of their values.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the guest of a VM comes from: the name of a pool, or a whole pool that the VM brings along.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct XcpngConfig(pub BTreeMap<String, Value>);

impl XcpngConfig {
    /// The config that names a pool.
    #[must_use]
    pub fn of_pool(pool: &str) -> Self {
        Self([("pool".to_owned(), Value::from(pool))].into())
    }
}

impl fmt::Debug for XcpngConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl JsonSchema for XcpngConfig {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "XcpngConfig".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "oneOf": [
                {
                    "properties": { "pool": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$" } },
                    "required": ["pool"],
                    "additionalProperties": false
                },
                {
                    "properties": {
                        "xapi_url": { "type": "string", "pattern": "^https://" },
                        "username": { "type": "string", "minLength": 1 },
                        "password": { "type": "string", "minLength": 1, "writeOnly": true },
                        "ssh_user": { "type": "string", "minLength": 1 },
                        "ssh_key_path": { "type": "string", "minLength": 1 },
                        "template_name": { "type": "string", "minLength": 1 },
                        "vm_memory": { "type": ["string", "integer"] },
                        "vm_vcpus": { "type": "integer", "minimum": 1, "maximum": 64 },
                        "sealed_password": { "type": "string", "minLength": 1 },
                        "tls_fingerprint": { "type": ["string", "array"], "items": { "type": "string" } },
                        "network_uuid": { "type": "string", "format": "uuid" },
                        "storage_repository": { "type": "string", "minLength": 1 }
                    },
                    "required": ["xapi_url", "username", "ssh_user", "ssh_key_path", "template_name"],
                    "oneOf": [{ "required": ["password"] }, { "required": ["sealed_password"] }],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_shows_no_value() {
        let sent = serde_json::json!({ "username": "root", "password": "hunter2" });
        let config: XcpngConfig = serde_json::from_value(sent).unwrap();
        let shown = format!("{config:?}");
        assert!(
            shown.contains("password") && !shown.contains("hunter2") && !shown.contains("root"),
            "{shown}"
        );
    }
}
