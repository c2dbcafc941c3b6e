//! Every message as bytes, in both encodings, against files: what is on the wire changes only on purpose.
//!
//! `files/NAME.json` holds a message as JSON, `files/NAME.msgpack` the same as MessagePack in hex, and
//! `files/NAME.schema.json` the schema of a body. BIOXEN_UPDATE_GOLDEN=1 writes them anew; look at the difference then.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there and then")]

mod commands;
mod replies;
mod workers;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::str::FromStr;

use bioxen_protocol::codec::{DecodeLimits, Encoding, decode, encode};
use bioxen_protocol::id::Generation;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

const HEX_BYTES_PER_LINE: usize = 48;

/// The files that one run has looked at.
#[derive(Debug, Default)]
struct Golden {
    seen: BTreeSet<String>,
}

#[test]
fn every_message_is_what_its_golden_files_hold_and_reads_back() {
    let mut golden = Golden::default();
    commands::check(&mut golden);
    replies::check(&mut golden);
    workers::check(&mut golden);
    let kept =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<BTreeSet<_>>(), golden.seen, "a golden file that no message has");
}

impl Golden {
    /// A message between clients and coordinator.
    fn message<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, message: &T) {
        for (encoding, extension) in [(Encoding::Json, "json"), (Encoding::MessagePack, "msgpack")] {
            let bytes = encode(encoding, message).unwrap();
            let read: T = decode(encoding, &bytes, &DecodeLimits::default()).unwrap();
            assert_eq!(read, *message, "{name} in {encoding:?} did not read back");
            self.hold(&format!("{name}.{extension}"), &shown(encoding, &bytes));
        }
    }

    /// A command's body, with its schema.
    fn body<T>(&mut self, name: &str, body: &T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + JsonSchema,
    {
        self.message(name, body);
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(T)).unwrap();
        self.hold(&format!("{name}.schema.json"), &(schema + "\n"));
    }

    /// A message between leader and worker, which is MessagePack on the bus; its JSON is there to be read.
    fn internal<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, name: &str, message: &T) {
        let bytes = rmp_serde::to_vec_named(message).unwrap();
        assert_eq!(rmp_serde::from_slice::<T>(&bytes).unwrap(), *message, "{name} did not read back");
        self.hold(&format!("{name}.msgpack"), &shown(Encoding::MessagePack, &bytes));
        let bytes = serde_json::to_vec(message).unwrap();
        assert_eq!(serde_json::from_slice::<T>(&bytes).unwrap(), *message, "{name} did not read back");
        self.hold(&format!("{name}.json"), &shown(Encoding::Json, &bytes));
    }

    fn hold(&mut self, file: &str, text: &str) {
        assert!(self.seen.insert(file.to_owned()), "{file} is the name of two messages");
        let path = folder().join(file);
        if std::env::var_os("BIOXEN_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, kept, "{file} changed: if that is meant, write it with BIOXEN_UPDATE_GOLDEN=1");
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/files")
}

fn shown(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Json => String::from_utf8(bytes.to_vec()).unwrap() + "\n",
        Encoding::MessagePack => bytes
            .chunks(HEX_BYTES_PER_LINE)
            .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
            .collect(),
    }
}

/// An id.
fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

const GENERATION: Generation = Generation { incarnation: 1, index: 42 };
