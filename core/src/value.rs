//! What filters extract: plain values, free of any interpreter, that the binding turns into Python's.
//!
//! Within the process they are passed as they are. For an executor in another process they have a serialised form
//! (serde): each value is a map of one entry, its kind in lower case and its content, `{"int": 7}`; `"none"` is the kind
//! alone. Byte strings (a body, the payload of claims, hexadecimal ids) are serde's `bytes`, which a binary format
//! writes as they are.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::identity::Claims;
use crate::trace::Trace;

/// One extracted value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Absent, under `optional`.
    None,
    /// A yes or no.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// Text, decoded.
    Text(Box<str>),
    /// Repeated query parameters.
    List(Vec<Value>),
    /// A query record: a place per field, `None` where it was not given and has a default.
    Record(Vec<Option<Value>>),
    /// Who calls.
    Claims(Arc<Claims>),
    /// The whole body.
    Body(#[serde(with = "as_bytes")] Bytes),
    /// The request's ids.
    Trace(Box<Trace>),
}

/// A byte string as serde's `bytes`.
pub(crate) mod as_bytes {
    use bytes::Bytes;
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    /// Writes a byte string.
    pub(crate) fn serialize<S: Serializer>(
        bytes: &impl AsRef<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes.as_ref())
    }

    /// Reads a byte string of any length, or of the length that its type has.
    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: TryFrom<Owned>,
        D: Deserializer<'de>,
    {
        let bytes = deserializer.deserialize_byte_buf(Reader)?;
        let length = bytes.0.len();
        T::try_from(bytes).map_err(|_| Error::custom(format!("{length} bytes are not the length")))
    }

    /// What was read.
    pub(crate) struct Owned(Vec<u8>);

    impl From<Owned> for Bytes {
        fn from(owned: Owned) -> Self {
            owned.0.into()
        }
    }

    impl<const N: usize> TryFrom<Owned> for [u8; N] {
        type Error = Vec<u8>;

        fn try_from(owned: Owned) -> Result<Self, Vec<u8>> {
            owned.0.try_into()
        }
    }

    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = Owned;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a byte string")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Owned, E> {
            Ok(Owned(bytes.to_vec()))
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Owned, E> {
            Ok(Owned(bytes))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Owned, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = all.next_element()? {
                bytes.push(byte);
            }
            Ok(Owned(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read_as_it_was_written() {
        let trace = Trace {
            parent_id: Some([b'b'; 16]),
            state: Some("a=b".into()),
            ..Trace::read(&http::HeaderMap::new())
        };
        let values = vec![
            Value::None,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Float(0.1),
            Value::Text("ä\0\"".into()),
            Value::List(vec![Value::Int(1), Value::List(Vec::new())]),
            Value::Record(vec![Some(Value::None), None]),
            Value::Claims(Arc::new(Claims::of("alice", Some("acme")))),
            Value::Body(Bytes::from_static(b"\x00\xff")),
            Value::Trace(Box::new(trace)),
        ];

        let written = serde_json::to_vec(&values).unwrap();

        assert_eq!(serde_json::from_slice::<Vec<Value>>(&written).unwrap(), values);
        let kinds: Vec<serde_json::Value> = serde_json::from_slice(&written).unwrap();
        assert_eq!(kinds[0], "none");
        assert_eq!(kinds[8], serde_json::json!({"body": [0, 255]}));
        let of = |kind: &str| HashMap::from([(kind.to_owned(), 1)]);
        assert!(serde_json::from_value::<Value>(serde_json::json!(of("other"))).is_err());
    }
}
