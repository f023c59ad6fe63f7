//! `header`: one request header, read as its type.

use http::header::HeaderName;

use crate::filters::Context;
use crate::filters::scalar::{Reader, Wrong};
use crate::plan::Scalar;
use crate::program::PlanError;
use crate::reject::Rejection;

/// A request header, compiled.
#[derive(Debug)]
pub struct Header {
    name: HeaderName,
    reader: Reader,
}

// === impl Header ===

impl Header {
    /// Compiles a header by its name in lower case.
    pub fn build(name: &str, kind: &Scalar) -> Result<Self, PlanError> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| PlanError::new(format!("`{name}` is not a header's name")))?;
        Ok(Self { name, reader: Reader::build(kind)? })
    }

    /// Reads the header and extracts its value. A header given twice is refused: two readers of one
    /// request (a proxy, the gateway, the handler) could each take another of the two.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let mut given = context.parts.headers.get_all(&self.name).iter();
        let Some(header) = given.next() else {
            return Err(self.refuse(self.reader.missing()).missing());
        };
        if given.next().is_some() {
            return Err(self.refuse(self.reader.repeated()));
        }
        let value = std::str::from_utf8(header.as_bytes())
            .map_err(|_| self.reader.undecodable("bytes that are not UTF-8"))
            .and_then(|text| self.reader.read(text))
            .map_err(|wrong| self.refuse(wrong))?;
        context.values.push(value);
        Ok(())
    }

    fn refuse(&self, wrong: Wrong) -> Box<Rejection> {
        Rejection::value(wrong.at("header", self.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::support::{Request, int, text};
    use crate::value::Value;

    fn apply(kind: &Scalar, request: Request) -> Result<Vec<Value>, Box<Rejection>> {
        let header = Header::build("x-count", kind).expect("a header that compiles");
        request.run(|context| header.apply(context))
    }

    #[test]
    fn a_header_is_read_as_its_type() {
        let values = apply(&int(), Request::get("/").header("X-Count", "3")).unwrap();

        assert!(matches!(values[..], [Value::Int(3)]));
    }

    #[test]
    fn a_missing_header_is_absent_rather_than_wrong() {
        let rejection = apply(&int(), Request::get("/")).unwrap_err();

        assert_eq!((rejection.status, rejection.absent), (400, true));
        assert_eq!(rejection.message, "header x-count: expected int, but it is missing");
    }

    #[test]
    fn a_wrong_header_is_a_400_that_optional_does_not_let_pass() {
        let rejection = apply(&int(), Request::get("/").header("x-count", "3.5")).unwrap_err();

        assert_eq!((rejection.status, rejection.absent), (400, false));
        assert_eq!(rejection.details[0].location, "header");
    }

    #[test]
    fn a_header_given_twice_is_refused() {
        let request = Request::get("/").header("x-count", "3").header("x-count", "3");

        let rejection = apply(&int(), request).unwrap_err();

        assert_eq!((rejection.status, rejection.absent), (400, false));
    }

    #[test]
    fn a_header_that_is_not_utf_8_is_refused() {
        let rejection = apply(&text(), Request::get("/").header("x-count", b"\xff")).unwrap_err();

        assert_eq!(rejection.status, 400);
    }

    #[test]
    fn utf_8_passes_and_is_not_percent_decoded() {
        let values =
            apply(&text(), Request::get("/").header("x-count", "ä%20+".as_bytes())).unwrap();

        assert!(matches!(&values[..], [Value::Text(text)] if &**text == "ä%20+"));
    }

    #[test]
    fn a_name_that_no_header_can_have_is_an_error_of_the_plan() {
        assert!(Header::build("x count", &int()).is_err());
    }
}
