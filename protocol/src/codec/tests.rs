//! What the codec promises to clients, and that no bytes whatever break it.

mod properties;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;
use crate::error::{Code, ErrorBody};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    biological_type: Chassis,
    #[serde(default)]
    auto_start: bool,
    allocation: Option<Allocation>,
    seed: Option<u64>,
    priority: Option<u8>,
    pace: Option<Pace>,
    #[serde(default)]
    parameters: BTreeMap<Symbol, f64>,
    #[serde(default)]
    schedule: Vec<Step>,
    vm_id: Option<VmId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allocation {
    atp_percentage: Option<f64>,
    ribosomes: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chassis {
    Syn3a,
    Ecoli,
    MinimalCell,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Pace {
    Rate { per_second: u32 },
    Number(f64),
    Word(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Pause,
    Allocate(Allocation),
    Call { code: String, at_minute: f32 },
    Window(u32, u32),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Symbol(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String")]
struct VmId(String);

impl TryFrom<String> for VmId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('.') { Err(format!("a VM id has no dots, got {text}")) } else { Ok(Self(text)) }
    }
}

fn json<T: DeserializeOwned>(body: &str) -> Result<T, DecodeError> {
    decode(Encoding::Json, body.as_bytes(), &DecodeLimits::default())
}

/// Decodes the same fields from JSON and, rewritten, from MessagePack; both must say the same.
fn both(body: &str) -> Result<Create, DecodeError> {
    let tree: serde_json::Value = serde_json::from_str(body).unwrap();
    let packed = rmp_serde::to_vec_named(&tree).unwrap();
    let from_json = json(body);
    let from_packed = decode(Encoding::MessagePack, &packed, &DecodeLimits::default());
    assert_eq!(from_json, from_packed, "{body}");
    from_json
}

fn said(body: &str) -> String {
    both(body).unwrap_err().to_string()
}

fn refused_bytes(encoding: Encoding, body: &[u8]) -> DecodeError {
    decode_value(encoding, body, &DecodeLimits::default()).unwrap_err()
}

#[test]
fn the_content_type_decides_and_parameters_are_tolerated() {
    for content_type in [Some("application/json; charset=utf-8"), Some(" Application/JSON"), None, Some("")] {
        assert_eq!(Encoding::detect(content_type, b" {}"), Ok(Encoding::Json));
    }
    for first in [0x80, 0x8f, 0xde, 0xdf] {
        for content_type in [Some("application/msgpack"), Some("application/msgpack;v=5"), None] {
            assert_eq!(Encoding::detect(content_type, &[b'\n', first]), Ok(Encoding::MessagePack));
        }
    }
    assert_eq!(Encoding::detect(None, b"\x93"), Ok(Encoding::Json));
    assert_eq!(Encoding::detect(Some("application/msgpack"), b" "), Ok(Encoding::Json));
}

#[test]
fn a_content_type_that_is_unknown_or_belied_by_the_body_is_refused() {
    let refusal =
        |content_type, body: &[u8]| Encoding::detect(Some(content_type), body).unwrap_err().to_string();
    assert!(refusal("text/plain", b"{}").contains("`text/plain` is not known"));
    assert!(refusal("application/json", b"\x80").contains("starts with 0x80, a MessagePack map"));
    assert!(refusal("application/msgpack", b"{}").contains("starts with 0x7b"));
    assert!(refusal("application/msgpack", b"\x93").contains("starts with 0x93"));
}

#[test]
fn an_empty_body_is_an_empty_object() {
    for body in [&b""[..], b" \r\n"] {
        assert_eq!(decode_value(Encoding::Json, body, &DecodeLimits::default()), Ok(Value::Map(vec![])));
    }
    assert_eq!(json::<Create>("").unwrap_err().to_string(), "missing field `biological_type`");
}

#[test]
fn a_whole_command_reads_alike_from_both_encodings_and_survives_a_round_trip() {
    let body = r#"{"biological_type": "minimal_cell", "auto_start": true, "seed": 18446744073709551615,
        "allocation": {"atp_percentage": 60, "ribosomes": 12.0}, "pace": {"per_second": 5.0}, "vm_id": null,
        "parameters": {"k_cat": 1e3, "theta": -2}, "priority": 3,
        "schedule": ["pause", {"allocate": {"ribosomes": 3}}, {"call": {"code": "x()", "at_minute": 1.5}},
                     {"window": [1, 2]}]}"#;
    let command = both(body).unwrap();
    assert_eq!(command.allocation, Some(Allocation { atp_percentage: Some(60.0), ribosomes: 12 }));
    assert_eq!(command.seed, Some(u64::MAX));
    assert_eq!(command.pace, Some(Pace::Rate { per_second: 5 }));
    assert_eq!(command.parameters[&Symbol("theta".to_owned())], -2.0);
    assert_eq!(command.vm_id, None);
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let bytes = encode(encoding, &command).unwrap();
        assert_eq!(Encoding::detect(None, &bytes), Ok(encoding));
        assert_eq!(decode::<Create>(encoding, &bytes, &DecodeLimits::default()), Ok(command.clone()));
    }
}

#[test]
fn an_unknown_field_names_the_nearest_known_one() {
    let error = both(r#"{"biological_type": "ecoli", "allocation": {"atp_percent": 5}}"#).unwrap_err();
    assert_eq!(error.path, "allocation.atp_percent");
    assert_eq!(error.nearest.as_deref(), Some("atp_percentage"));
    assert_eq!(error.to_string(), "unknown field `allocation.atp_percent`; nearest known: `atp_percentage`");
    let alone = |body| json::<Allocation>(body).unwrap_err();
    let error = alone(r#"{"ATP_percent": 5}"#);
    assert_eq!(error.to_string(), "unknown field `ATP_percent`; nearest known: `atp_percentage`");
    let far = alone(r#"{"zzz": 5}"#).to_string();
    assert_eq!(far, "unknown field `zzz`; known: `atp_percentage`, `ribosomes`");
    let body = ErrorBody::from(error);
    assert_eq!((body.code, body.details.field.as_deref()), (Code::ApiValidation, Some("ATP_percent")));
    assert_eq!(body.details.nearest, ["atp_percentage"]);
}

#[test]
fn an_unknown_variant_names_the_nearest_known_one() {
    assert_eq!(
        said(r#"{"biological_type": "e_coli"}"#),
        "`biological_type` must be one of `syn3a`, `ecoli`, `minimal_cell`, not `e_coli`; nearest known: `ecoli`"
    );
    assert_eq!(
        said(r#"{"biological_type": 7}"#),
        "`biological_type` must be one of `syn3a`, `ecoli`, `minimal_cell`, not 7"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_path_what_it_is_and_what_was_expected() {
    let with = |fields: &str| said(&format!(r#"{{"biological_type": "ecoli", {fields}}}"#));
    let whole = "must be a whole number from 0 to 4294967295";
    for (fields, expected) in [
        (r#""allocation": {"ribosomes": 12.5}"#, format!("`allocation.ribosomes` {whole}, not 12.5")),
        (r#""allocation": {"ribosomes": -1}"#, format!("`allocation.ribosomes` {whole}, not -1")),
        (r#""allocation": {"ribosomes": "12"}"#, format!("`allocation.ribosomes` {whole}, not \"12\"")),
        (
            r#""allocation": {"ribosomes": 4294967296}"#,
            format!("`allocation.ribosomes` {whole}, not 4294967296"),
        ),
        (r#""allocation": {}"#, "missing field `allocation.ribosomes`".to_owned()),
        (r#""allocation": [1, 2]"#, "`allocation` must be an object, not a list".to_owned()),
        (r#""priority": 300"#, "`priority` must be a whole number from 0 to 255, not 300".to_owned()),
        (r#""auto_start": 1"#, "`auto_start` must be true or false, not 1".to_owned()),
        (r#""parameters": {"k": "fast"}"#, "`parameters.k` must be a number, not \"fast\"".to_owned()),
        (r#""schedule": {}"#, "`schedule` must be a list, not an object".to_owned()),
        (
            r#""schedule": ["pause", {"allocate": {"ribosomes": null}}]"#,
            format!("`schedule[1].allocate.ribosomes` {whole}, not null"),
        ),
        (
            r#""schedule": [{"window": [1, 2, 3]}]"#,
            "`schedule[0].window` must be a list of 2, not 3 items".to_owned(),
        ),
        (r#""vm_id": "a.b""#, "`vm_id`: a VM id has no dots, got a.b".to_owned()),
    ] {
        assert_eq!(with(fields), expected);
    }
}

#[test]
fn a_float_too_large_to_mean_one_integer_is_not_rounded() {
    assert_eq!(
        both(r#"{"biological_type": "ecoli", "seed": 9007199254740992.0}"#).unwrap().seed,
        Some(1 << 53)
    );
    assert!(
        said(r#"{"biological_type": "ecoli", "seed": 1e19}"#).starts_with("`seed` must be a whole number")
    );
    let step = r#"{"biological_type": "ecoli", "schedule": [{"call": {"code": "", "at_minute": 1e300}}]}"#;
    assert!(said(step).starts_with("`schedule[0].call.at_minute` must be a number of at most 3.4e38"));
}

#[test]
fn what_no_message_may_hold_is_refused_with_its_path() {
    let list = |value: &[u8]| [b"\x81\xa1a\x92\x01".as_slice(), value].concat();
    for (bytes, expected) in [
        (list(b"\xcb\x7f\xf8\0\0\0\0\0\0"), "`a[1]` must be a finite number, not NaN"),
        (list(b"\xca\xff\x80\0\0"), "`a[1]` must be a finite number, not -inf"),
        (list(b"\xc4\x01x"), "`a[1]` must not be binary data; send UTF-8 text"),
        (list(b"\xa1\xff"), "`a[1]` must not be binary data; send UTF-8 text"),
        (list(b"\xd4\x01\x02"), "`a[1]` must not be a MessagePack extension; send a number or text"),
        (list(b"\x81\x07\x01"), "`a[1]` must have text as the names of its fields"),
        (list(b"\x82\xa1k\x01\xa1k\x02"), "`a[1].k` is given more than once; give it once"),
        (list(b"\xc1"), "the body is not valid MessagePack"),
        (list(b"\xdd\xff\xff\xff\xff"), "the body is not valid MessagePack: it ends before its last value"),
        (list(b"\xdb\xff\xff\xff\xff"), "the body is not valid MessagePack: it ends before its last value"),
        (list(b"\xc0\xc0\xc0"), "the MessagePack body is followed by 2 more bytes"),
    ] {
        let message = refused_bytes(Encoding::MessagePack, &bytes).to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    for (body, expected) in [
        (r#"{"a": {"k": 1, "k": 2}}"#, "`a.k` is given more than once; give it once"),
        (r#"{"a": NaN}"#, "the body is not valid JSON: expected value at line 1 column 7"),
        (r#"{"a": 1e999}"#, "the body is not valid JSON: number out of range"),
        (r#"{"a": 1} {}"#, "the body is not valid JSON: trailing characters"),
        ("\u{fffd}", "the body is neither JSON nor a MessagePack map: it starts with 0xef"),
    ] {
        let message = refused_bytes(Encoding::Json, body.as_bytes()).to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn bodies_beyond_a_limit_are_refused() {
    let deep = [vec![0x91; 60_000], vec![0xc0]].concat();
    assert!(
        refused_bytes(Encoding::MessagePack, &deep).to_string().contains("is nested deeper than 16 levels")
    );
    assert!(
        refused_bytes(Encoding::Json, &[b'['; 60_000])
            .to_string()
            .contains("is nested deeper than 16 levels")
    );
    let nils = [b"\xdc\xea\x60".as_slice(), &[0xc0; 60_000]].concat();
    let too_many = "the body holds more than 8192 values";
    assert_eq!(refused_bytes(Encoding::MessagePack, &nils).to_string(), too_many);
    let zeros = format!("[{}0]", "0,".repeat(30_000));
    assert_eq!(refused_bytes(Encoding::Json, zeros.as_bytes()).to_string(), too_many);
    let long = vec![b' '; COMMAND_BYTES + 1];
    assert_eq!(
        refused_bytes(Encoding::Json, &long).to_string(),
        "the body has 65537 bytes; at most 65536 are accepted"
    );
}

#[test]
fn a_body_at_its_limits_is_accepted() {
    let limits = DecodeLimits { bytes: 9, depth: 2, elements: 5 };
    assert!(decode_value(Encoding::Json, b"[[1,2,3]]", &limits).is_ok());
    for short in [
        DecodeLimits { bytes: 8, ..limits },
        DecodeLimits { depth: 1, ..limits },
        DecodeLimits { elements: 4, ..limits },
    ] {
        assert!(decode_value(Encoding::Json, b"[[1,2,3]]", &short).is_err());
    }
}

#[test]
fn what_a_caller_wrote_is_repeated_cut_and_escaped() {
    let body = format!("{{\"biological_type\": \"ecoli\", \"a\\n{}\": 1}}", "x".repeat(50_000));
    let message = json::<Create>(&body).unwrap_err().to_string();
    assert!(message.starts_with("unknown field `a\\nxxx") && message.len() < 300, "{message}");
}

#[test]
fn a_field_can_be_taken_out_before_the_type_is_known() {
    let body = br#"{"verb": "allocate", "ribosomes": 5, "request_id": "r1"}"#;
    let mut value = decode_value(Encoding::Json, body, &DecodeLimits::default()).unwrap();
    assert_eq!(value.get("verb").and_then(Value::as_text), Some("allocate"));
    assert_eq!(value.remove("request_id"), Some(Value::Text("r1".to_owned())));
    assert_eq!(value.remove("request_id"), None);
    value.remove("verb");
    assert_eq!(from_value::<Allocation>(&value), Ok(Allocation { atp_percentage: None, ribosomes: 5 }));
    assert_eq!(encode(Encoding::Json, &value).unwrap(), br#"{"ribosomes":5}"#);
}

#[test]
fn a_type_may_keep_a_part_as_a_value() {
    let parts: BTreeMap<String, Value> = json(r#"{"a": [1, null, {"b": "c"}]}"#).unwrap();
    assert_eq!(encode(Encoding::Json, &parts).unwrap(), br#"{"a":[1,null,{"b":"c"}]}"#);
}

#[test]
fn a_create_command_of_the_wire_is_read_with_its_errors_in_place() {
    use crate::command::Create;
    let said = |body| json::<Create>(body).unwrap_err().to_string();
    assert_eq!(
        said(r#"{"biological_type": "ecoli", "config": {"resource_limits": {"max_atp_percent": 5}}}"#),
        "unknown field `config.resource_limits.max_atp_percent`; nearest known: `max_atp`"
    );
    let text = said(r#"{"biological_type": "ecoli", "allocation": {"ribosomes": 12.5}}"#);
    assert!(text.starts_with("`allocation.ribosomes` must be a whole number from 0 to"), "{text}");
}
