//! `param`: a segment of the path, percent-decoded and read as its type.

use crate::filters::Context;
use crate::filters::scalar::Reader;
use crate::percent::{Plus, decode};
use crate::plan::{PlanError, Scalar};
use crate::reject::Rejection;

/// A path parameter, compiled.
#[derive(Debug)]
pub struct Param {
    name: Box<str>,
    reader: Reader,
}

// === impl Param ===

impl Param {
    /// Compiles the parameter `name` of a route's template.
    pub fn build(name: &str, kind: &Scalar) -> Result<Self, PlanError> {
        Ok(Self { name: name.into(), reader: Reader::build(kind)? })
    }

    /// Reads the segment and extracts its value.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        // The plan is checked at start: it is missing only where the rest of a path is empty, in the
        // path of a folder of files.
        let text = context.params.get(&self.name).unwrap_or_default();
        let value = decode(text, Plus::Itself)
            .map_err(|fault| self.reader.undecodable(fault))
            .and_then(|text| self.reader.read(&text))
            .map_err(|wrong| Rejection::value(wrong.at("path", &self.name)))?;
        context.values.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::filters::support::{Request, int, text};
    use crate::value::Value;

    fn apply(kind: &Scalar, path: &str) -> Result<Vec<Value>, Box<Rejection>> {
        let param = Param::build("id", kind).expect("a parameter that compiles");
        Request::get(path).route("/x/{id}").run(|context| param.apply(context))
    }

    #[test]
    fn a_segment_is_read_as_its_type() {
        let values = apply(&int(), "/x/17").unwrap();

        assert!(matches!(values[..], [Value::Int(17)]));
    }

    #[test]
    fn a_wrong_segment_is_a_400_that_names_where_what_and_why() {
        let rejection = apply(&int(), "/x/abc").unwrap_err();

        assert_eq!((rejection.status, rejection.kind.code), (400, "validation_error"));
        assert_eq!(rejection.message, "path id: expected int, got 'abc'");
        assert_eq!(rejection.details[0].location, "path");
        assert_eq!(rejection.details[0].field, "id");
        assert_eq!(rejection.details[0].kind, "int");
        assert!(!rejection.absent);
    }

    #[test]
    fn a_segment_is_percent_decoded_and_keeps_its_plus() {
        let values = apply(&text(), "/x/a%20b+c%2Fd%C3%A4").unwrap();

        assert!(matches!(&values[..], [Value::Text(text)] if &**text == "a b+c/dä"));
    }

    #[test]
    fn broken_percent_encoding_is_a_400() {
        for path in ["/x/%", "/x/a%2", "/x/%zz", "/x/%ff", "/x/%C3%28"] {
            assert_eq!(apply(&text(), path).unwrap_err().status, 400, "{path}");
        }
    }

    #[test]
    fn text_with_nothing_encoded_is_not_copied() {
        assert!(matches!(decode("plain+text", Plus::Itself), Ok(Cow::Borrowed(_))));
        assert!(matches!(decode("plain", Plus::Space), Ok(Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn encoded_text_decodes_to_itself(text in any::<String>()) {
            let encoded = text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02x}"));
            prop_assert_eq!(decode(&encoded, Plus::Itself).unwrap(), text.as_str());
            prop_assert_eq!(decode(&encoded, Plus::Space).unwrap(), text.as_str());
        }

        #[test]
        fn no_text_makes_decoding_panic(text in ".{0,30}%?.{0,2}") {
            let _ = decode(&text, Plus::Space);
        }
    }
}
