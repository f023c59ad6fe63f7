use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    accepted: bool,
    json: Option<String>,
    hex: Option<String>,
    msgpack: Option<String>,
    means: Option<String>,
    repeat: Option<(String, String, usize, String)>,
    nested: Option<(String, usize, String, String)>,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

impl Case {
    fn text(&self) -> Vec<u8> {
        if let Some(hex) = &self.hex {
            return bytes(hex);
        }
        if let Some((before, part, count, after)) = &self.repeat {
            return format!("{before}{}{after}", part.repeat(*count)).into();
        }
        let Some((begin, levels, end, middle)) = &self.nested else {
            return self.json.clone().unwrap().into();
        };
        format!("{}{middle}{}", begin.repeat(*levels), end.repeat(*levels)).into()
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/json_cases.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_case_is_accepted_or_refused_as_the_table_says() {
    for case in cases() {
        if let Some(packed) = &case.msgpack {
            let mut json = Vec::new();
            let read = from_messagepack(&bytes(packed), &mut json);
            assert_eq!(read.is_ok(), case.accepted, "{}: {read:?}", case.name);
            if let Some(means) = &case.means {
                assert_eq!(str::from_utf8(&json).unwrap(), means, "{}", case.name);
            }
            continue;
        }
        let text = case.text();
        let checked = check(&text);
        assert_eq!(checked.is_ok(), case.accepted, "{}: {checked:?}", case.name);
        if case.accepted {
            let (mut packed, mut back) = (Vec::new(), Vec::new());
            to_messagepack(&text, &mut packed).unwrap();
            from_messagepack(&packed, &mut back).unwrap();
            let mut again = Vec::new();
            to_messagepack(&back, &mut again).unwrap();
            assert_eq!(again, packed, "{}", case.name);
        }
    }
}

#[test]
fn the_place_of_a_fault_is_named() {
    let fault = |text: &[u8]| check(text).unwrap_err();

    assert_eq!(fault(br#"{"a": 1e400}"#).at, 6);
    assert_eq!(fault(br#"["x\ud800"]"#).at, 3);
    assert_eq!(fault(b"[1,]").at, 3);
    assert_eq!(fault(b"").to_string(), "it ends too early (byte 0)");
}

#[test]
fn a_value_is_converted_in_the_frames_that_it_is_sent_in() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let frame = format!(r#"[{{"items":[{{"data":{deep}}}]}}]"#);
    let mut packed = Vec::new();

    check(deep.as_bytes()).unwrap();
    to_messagepack(frame.as_bytes(), &mut packed).unwrap();

    let mut back = Vec::new();
    from_messagepack(&packed, &mut back).unwrap();
    assert_eq!(str::from_utf8(&back).unwrap(), frame);
}

/// JSON values of every kind.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-70_000_i64..70_000).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |one| one.is_finite()).prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[\u{0}-\u{20}\"\\\\é😀]{0,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_is_the_same_in_both_encodings(value in values()) {
        let text = serde_json::to_vec(&value).unwrap();
        let (mut packed, mut back) = (Vec::new(), Vec::new());

        prop_assert_eq!(check(&text), Ok(()));
        to_messagepack(&text, &mut packed).unwrap();
        from_messagepack(&packed, &mut back).unwrap();

        prop_assert_eq!(String::from_utf8(back), String::from_utf8(text));
    }

    #[test]
    fn what_is_accepted_is_read_by_a_decoder(
        text in r#"[\[\]{}",:\\ue0-9a-fDd8.+\- tnrl]{0,24}"#,
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        if check(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
        let mut json = Vec::new();
        if from_messagepack(&bytes, &mut json).is_ok() {
            prop_assert_eq!(check(&json), Ok(()));
        }
        prop_assert!(check(&bytes).is_err() || serde_json::from_slice::<Value>(&bytes).is_ok());
    }
}
