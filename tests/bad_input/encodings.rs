//! Bodies that cannot be read: broken, over a limit, of an encoding that they are not of.

use serde_json::json;

use crate::case::{Case, bytes, message_pack};

const CREATE: &str = "bioxen.v1.cmd.alice.create.new";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = broken_json();
    cases.extend(json_over_limits());
    cases.extend(broken_message_pack());
    cases.extend(message_pack_over_limits());
    cases.extend(message_pack_numbers());
    cases.extend(content_types());
    cases
}

fn broken_json() -> Vec<Case> {
    let texts: [&[u8]; 32] = [
        b"{",
        b"}",
        b"{\"a\"",
        b"{\"a\":",
        b"{\"a\":}",
        b"{\"a\":1",
        b"{\"a\":1,}",
        b"{\"a\" 1}",
        b"{'a':1}",
        b"{a:1}",
        b"{\"biological_type\":\"syn3a\"",
        b"{\"biological_type\":\"syn3a",
        b"{\"biological_type\":\"syn3a\"} {}",
        b"{\"biological_type\":\"syn3a\"}x",
        b"{\"biological_type\":\"syn3a\"}\x00",
        b"{\"biological_type\":\"syn3a\"} // so",
        b"/* so */ {\"biological_type\":\"syn3a\"}",
        b"{\"biological_type\":\"\\ud800\"}",
        b"{\"biological_type\":\"\\x\"}",
        b"{\"biological_type\":\"a\nb\"}",
        b"{\"biological_type\":\"\xff\"}",
        b"\xef\xbb\xbf{\"biological_type\":\"syn3a\"}",
        b"{\"biological_type\":\"syn3a\",\"seed\":NaN}",
        b"{\"biological_type\":\"syn3a\",\"seed\":Infinity}",
        b"{\"biological_type\":\"syn3a\",\"seed\":1e999}",
        b"{\"biological_type\":\"syn3a\",\"seed\":01}",
        b"{\"biological_type\":\"syn3a\",\"seed\":+1}",
        b"{\"biological_type\":\"syn3a\",\"seed\":0x10}",
        b"create",
        b"\x00",
        b"biological_type: syn3a",
        b"<create/>",
    ];
    let others: [&[u8]; 6] =
        [b"[]", b"[{\"biological_type\":\"syn3a\"}]", b"5", b"\"syn3a\"", b"null", b"true"];
    let mut cases: Vec<Case> =
        texts.iter().chain(&others).map(|text| bytes(CREATE, *text, "BX008")).collect();
    for (text, field) in [
        ("{\"biological_type\":\"syn3a\",\"biological_type\":\"ecoli\"}", "biological_type"),
        ("{\"biological_type\":\"syn3a\",\"seed\":1,\"seed\":1}", "seed"),
        (
            "{\"biological_type\":\"syn3a\",\"allocation\":{\"ribosomes\":1,\"ribosomes\":2}}",
            "allocation.ribosomes",
        ),
        ("{\"biological_type\":\"syn3a\",\"vm_id\":\"new\",\"vm_id\":\"other\"}", "vm_id"),
        ("{\"biological_type\":\"syn3a\",\"request_id\":\"a\",\"request_id\":\"b\"}", "request_id"),
    ] {
        cases.push(bytes(CREATE, text, "BX008").field(field));
    }
    cases
}

fn json_over_limits() -> Vec<Case> {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{{\"config\":{}1{}}}", open.repeat(levels), close.repeat(levels))
    };
    let padded = |length: usize| {
        let body = json!({ "biological_type": "syn3a" }).to_string();
        let spaces = " ".repeat(length - body.len());
        body + &spaces
    };
    let zeros = format!("{{\"schedule\":[{}0]}}", "0,".repeat(30_000));
    let empties = format!("{{\"schedule\":[{}[]]}}", "[],".repeat(20_000));
    let names: Vec<String> = (0..6_000).map(|name| format!("\"{name:x}\":0")).collect();
    let texts = [
        "[".repeat(60_000),
        "{\"a\":".repeat(12_000),
        nested("[", "]", 17),
        nested("[", "]", 30_000),
        nested("{\"a\":", "}", 17),
        nested("{\"a\":", "}", 9_000),
        padded(64 * 1024 + 1),
        padded(200_000),
        zeros,
        empties,
        format!("{{\"labels\":{{{}}}}}", names.join(",")),
        format!("{{\"{}\":1}}", "a".repeat(60_000)),
        format!("{{\"seed\":{}}}", "9".repeat(60_000)),
        format!("{{\"seed\":0.{}1}}", "0".repeat(60_000)),
    ];
    texts.into_iter().map(|text| bytes(CREATE, text, "BX008")).collect()
}

/// `{"biological_type": "syn3a", <name>: <value>}`.
fn with(name: &str, value: &[u8]) -> Vec<u8> {
    let mut body = vec![0x82];
    for text in ["biological_type", "syn3a", name] {
        body.push(0xa0 | u8::try_from(text.len()).expect("short"));
        body.extend(text.as_bytes());
    }
    body.extend(value);
    body
}

fn broken_message_pack() -> Vec<Case> {
    let whole = with("seed", &[7]);
    let bodies: Vec<Vec<u8>> = vec![
        vec![0x81],
        vec![0x82, 0xa1, b'a'],
        vec![0xde],
        vec![0xdf, 0, 0],
        whole[..whole.len() - 1].to_vec(),
        [whole.clone(), vec![0]].concat(),
        [whole.clone(), whole.clone()].concat(),
        vec![0x81, 0xc1, 0xc1],
        with("seed", &[0xc1]),
        // Names that are not text: an integer, nil, true, a float, a list, an object, binary.
        vec![0x81, 0x01, 0x01],
        vec![0x81, 0xc0, 0x01],
        vec![0x81, 0xc3, 0x01],
        vec![0x81, 0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x01],
        vec![0x81, 0x90, 0x01],
        vec![0x81, 0x80, 0x01],
        vec![0x81, 0xc4, 0x01, b'a', 0x01],
        // Text that is not UTF-8, binary, extensions and a timestamp.
        with("engine", &[0xa1, 0xff]),
        with("engine", &[0xc4, 0x01, b'a']),
        with("engine", &[0xd4, 0x05, 0x00]),
        with("horizon_minutes", &[0xd6, 0xff, 0, 0, 0, 1]),
        with("biological_type", &[0xa5, b'e', b'c', b'o', b'l', b'i']),
        with("allocation", &[0x82, 0xa1, b'a', 0x01, 0xa1, b'a', 0x02]),
    ];
    let mut cases: Vec<Case> = bodies.into_iter().map(|body| bytes(CREATE, body, "BX008")).collect();
    // Not maps, and so not taken for MessagePack unless they say so.
    for body in [vec![0x93, 1, 2, 3], vec![0xa1, b'a'], vec![0xcb, 0, 0, 0, 0, 0, 0, 0, 0], vec![0xff]] {
        cases.push(bytes(CREATE, body.clone(), "BX008"));
        cases.push(bytes(CREATE, body, "BX008").header("Content-Type", "application/msgpack"));
    }
    cases
}

/// What claims or unfolds to much more than it has: 134 times its size in memory, were it believed.
fn message_pack_over_limits() -> Vec<Case> {
    let list = |count: u32| [vec![0xdd], count.to_be_bytes().to_vec()].concat();
    let map = |count: u32| [vec![0xdf], count.to_be_bytes().to_vec()].concat();
    let text = |length: u32| [vec![0xdb], length.to_be_bytes().to_vec()].concat();
    let many = |item: &[u8], count: u32| {
        with("schedule", &[list(count), item.repeat(usize::try_from(count).expect("small"))].concat())
    };
    let names: Vec<u8> =
        (0..12_000u32).flat_map(|name| [&[0xa3][..], &name.to_be_bytes()[1..], &[0]].concat()).collect();
    let ascii: Vec<u8> = (0..10_000u32)
        .flat_map(|name| [&[0xa4][..], format!("{name:04}").as_bytes(), &[0]].concat())
        .collect();
    let bodies = vec![
        with("schedule", &list(u32::MAX)),
        with("labels", &map(u32::MAX)),
        with("engine", &text(u32::MAX)),
        map(u32::MAX),
        many(&[0x90], 65_000),
        many(&[0x80], 65_000),
        many(&[0xc0], 65_000),
        many(&[0x81, 0xa0, 0x90], 20_000),
        with("labels", &[map(12_000), names].concat()),
        with("labels", &[map(10_000), ascii].concat()),
        with("schedule", &[0x91; 17]),
        with("schedule", &[0x91; 60_000]),
        [0x81, 0xa1, b'a'].repeat(17),
        [0x81, 0xa1, b'a'].repeat(20_000),
        [whole_of(64 * 1024), vec![0]].concat(),
        whole_of(300_000),
    ];
    bodies.into_iter().map(|body| bytes(CREATE, body, "BX008")).collect()
}

/// A body of that length, of one long text.
fn whole_of(length: usize) -> Vec<u8> {
    let head = with("engine", &[]);
    let left = length - head.len() - 5;
    let size = u32::try_from(left).expect("small").to_be_bytes();
    [head, vec![0xdb], size.to_vec(), vec![b'a'; left]].concat()
}

/// Numbers that JSON cannot write.
fn message_pack_numbers() -> Vec<Case> {
    let double = |value: f64| [vec![0xcb], value.to_be_bytes().to_vec()].concat();
    let single = |value: f32| [vec![0xca], value.to_be_bytes().to_vec()].concat();
    let mut cases = Vec::new();
    for name in ["seed", "horizon_minutes", "pace", "priority", "replicate"] {
        for value in [double(f64::NAN), double(f64::INFINITY), double(f64::NEG_INFINITY), single(f32::NAN)] {
            cases.push(bytes(CREATE, with(name, &value), "BX008").field(name));
        }
    }
    let nested = |value: &[u8]| with("allocation", &[&[0x81, 0xa9][..], b"ribosomes", value].concat());
    cases.push(bytes(CREATE, nested(&double(f64::NAN)), "BX008").field("allocation.ribosomes"));
    // These are numbers, and so the question is understood: the answer is in MessagePack.
    for value in
        [vec![0xff], vec![0xd0, 0x80], vec![0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], double(-0.5), single(-1.0)]
    {
        cases.push(message_pack(CREATE, with("seed", &value), "BX008").field("seed"));
        cases.push(message_pack(CREATE, nested(&value), "BX008").field("allocation.ribosomes"));
    }
    for value in [double(12.5), double(1e308), single(0.1), vec![0xc0 | 0x03]] {
        cases.push(message_pack(CREATE, nested(&value), "BX008").field("allocation.ribosomes"));
    }
    cases.push(message_pack(CREATE, with("enginee", &[7]), "BX008").field("enginee").nearest("engine"));
    cases.push(message_pack("bioxen.v1.cmd.alice.status.none", [0x80], "BX010"));
    cases.push(
        message_pack("bioxen.v1.cmd.alice.start.made", with("x", &[0]), "BX008").field("biological_type"),
    );
    cases.push(message_pack("bioxen.v1.cmd.alice.creat.made", [0x80], "BX008").nearest("create"));
    cases
}

fn content_types() -> Vec<Case> {
    let text = json!({ "biological_type": "syn3a" }).to_string();
    let packed = with("seed", &[7]);
    let of = |body: &[u8], stated: &str| bytes(CREATE, body, "BX008").header("Content-Type", stated);
    vec![
        of(text.as_bytes(), "application/msgpack"),
        of(text.as_bytes(), "Application/MsgPack; charset=utf-8"),
        of(&packed, "application/json"),
        of(&packed, "application/json; charset=utf-8"),
        of(text.as_bytes(), "text/plain"),
        of(text.as_bytes(), "application/xml"),
        of(text.as_bytes(), "application/x-msgpack"),
        of(text.as_bytes(), "json"),
        of(&packed, "application/octet-stream"),
        of(b"", "text/plain"),
        of(text.as_bytes(), &"a/".repeat(5_000)),
    ]
}
