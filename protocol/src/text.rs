//! What is a text on the wire and a type of its own here: read by `FromStr`, so that both ways in judge alike.

/// `Deserialize` by `FromStr`, and a schema that says which texts are taken.
macro_rules! reads_text {
    ($name:ident, $expected:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $expected })
            }
        }
    };
}

/// The same, and `Serialize` by `Display`.
macro_rules! as_text {
    ($name:ident, $expected:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::text::reads_text!($name, $expected);
    };
}

pub(crate) use {as_text, reads_text};
