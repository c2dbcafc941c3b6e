//! Properties over arbitrary bytes and trees.

use proptest::prelude::*;

use super::*;

const SMALL: DecodeLimits = DecodeLimits { bytes: 4096, depth: 6, elements: 200 };

/// Any tree that both encodings can carry, at times beyond the limits of `SMALL`.
fn trees() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|value| Value::Int(value.into())),
        any::<u64>().prop_map(|value| Value::Int(value.into())),
        proptest::num::f64::NORMAL.prop_map(Value::Float),
        ".{0,12}".prop_map(Value::Text),
    ];
    scalar.prop_recursive(8, 300, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{0,3}", inner, 0..8)
                .prop_map(|fields| Value::Map(fields.into_iter().collect())),
        ]
    })
}

/// Bytes that look like MessagePack more often than noise does.
fn markers() -> impl Strategy<Value = Vec<u8>> {
    let marker = prop_oneof![
        Just(0x81_u8),
        Just(0x91),
        Just(0xdc),
        Just(0xdf),
        Just(0xa1),
        Just(0xcb),
        Just(0xc7),
        0xc0..=0xdf_u8,
        any::<u8>(),
    ];
    prop::collection::vec(marker, 0..200)
}

fn json_like() -> impl Strategy<Value = Vec<u8>> {
    "[\\[\\]{}\",:0-9eE.\\-ntfu\\\\a ]{0,80}".prop_map(String::into_bytes)
}

fn depth_and_count(value: &Value) -> (usize, usize) {
    let below: Vec<&Value> = match value {
        Value::List(items) => items.iter().collect(),
        Value::Map(fields) => fields.iter().map(|(_, value)| value).collect(),
        _ => return (0, 1),
    };
    below
        .into_iter()
        .map(depth_and_count)
        .fold((1, 1), |(depth, count), (deeper, more)| (depth.max(deeper + 1), count + more))
}

fn finite(value: &Value) -> bool {
    match value {
        Value::Float(value) => value.is_finite(),
        Value::List(items) => items.iter().all(finite),
        Value::Map(fields) => fields.iter().all(|(_, value)| finite(value)),
        _ => true,
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_or_exceed_the_limits(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200), markers(), json_like(),
    ]) {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            if let Ok(value) = decode_value(encoding, &body, &SMALL) {
                let (depth, count) = depth_and_count(&value);
                prop_assert!(depth <= SMALL.depth && count <= SMALL.elements && finite(&value));
            }
            let _ = decode::<Create>(encoding, &body, &SMALL);
        }
        let _ = Encoding::detect(None, &body);
    }

    #[test]
    fn both_encodings_read_the_same_tree_or_refuse_it_alike(tree in trees()) {
        let limits = DecodeLimits { bytes: usize::MAX, ..SMALL };
        let [from_json, from_packed] = [Encoding::Json, Encoding::MessagePack]
            .map(|encoding| decode_value(encoding, &encode(encoding, &tree).unwrap(), &limits));
        prop_assert_eq!(&from_json, &from_packed);
        let (depth, count) = depth_and_count(&tree);
        if depth <= limits.depth && count <= limits.elements {
            prop_assert_eq!(from_json, Ok(tree));
        } else {
            prop_assert!(from_json.is_err());
        }
    }

    #[test]
    fn every_prefix_of_a_message_pack_body_is_refused(tree in trees()) {
        let limits = DecodeLimits { bytes: usize::MAX, depth: 100, elements: usize::MAX };
        let bytes = encode(Encoding::MessagePack, &tree).unwrap();
        for end in 1..bytes.len() {
            prop_assert!(decode_value(Encoding::MessagePack, &bytes[..end], &limits).is_err());
        }
    }

    #[test]
    fn numbers_reach_their_targets_exactly_or_not_at_all(whole in any::<i32>(), fraction in 0.001..0.999_f64) {
        let read = |text: String| json::<Vec<i64>>(&text).ok().map(|list| list[0]);
        prop_assert_eq!(read(format!("[{whole}.0]")), Some(whole.into()));
        prop_assert_eq!(read(format!("[{}]", f64::from(whole) + fraction)), None);
        prop_assert_eq!(json::<Vec<f64>>(&format!("[{whole}]")), Ok(vec![f64::from(whole)]));
        let unsigned = json::<Vec<u32>>(&format!("[{whole}]")).ok();
        prop_assert_eq!(unsigned, u32::try_from(whole).ok().map(|value| vec![value]));
    }
}
