//! `header`: one request header, read as its type.

use http::header::{self, HeaderName};

use crate::filters::Context;
use crate::filters::scalar::{Reader, Wrong};
use crate::head;
use crate::plan::{PlanError, Scalar};
use crate::reject::Rejection;
use crate::value::Value;

/// A request header, compiled.
#[derive(Debug)]
pub struct Header {
    name: HeaderName,
    reader: Reader,
    is_host: bool,
    /// Whether several lines are one value.
    is_list: bool,
    /// What lines are combined with.
    separator: &'static [u8],
}

/// Fields with one value besides those that `head` refuses for every route when they are repeated.
const SINGLE: [&str; 13] = [
    "access-control-request-private-network",
    "date",
    "from",
    "idempotency-key",
    "last-event-id",
    "sec-websocket-key",
    "sec-websocket-version",
    "traceparent",
    "upgrade-insecure-requests",
    "user-agent",
    "x-api-key",
    "x-csrf-token",
    "x-request-id",
];

// === impl Header ===

impl Header {
    /// Compiles a header by its name in lower case.
    pub fn build(name: &str, kind: &Scalar) -> Result<Self, PlanError> {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| PlanError::new(format!("`{name}` is not a header's name")))?;
        let single = head::is_singleton(&name) || SINGLE.contains(&name.as_str());
        Ok(Self {
            reader: Reader::build(kind)?,
            is_host: name == header::HOST,
            // A number or a date is no list, whatever the field.
            is_list: !single && matches!(kind, Scalar::Str { .. }),
            separator: if name == header::COOKIE { b"; " } else { b", " },
            name,
        })
    }

    /// Reads the header and extracts its value. Lines of a list are combined (RFC 9110, section 5.3); a field that has
    /// one value is refused where it is sent twice: two readers of one request (a proxy, the gateway, the handler)
    /// could each take another of the two.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let mut lines = context.parts.headers.get_all(&self.name).iter();
        let value = match (lines.next(), lines.next()) {
            // An authority in the target overrides `Host`; HTTP/2 has it in place of `Host`.
            _ if self.is_host && context.parts.uri.authority().is_some() => {
                let authority = context.parts.uri.authority().map_or("", |found| found.as_str());
                self.read(authority.as_bytes())
            }
            (None, _) => return Err(self.refuse(self.reader.missing()).missing()),
            (Some(line), None) => self.read(line.as_bytes()),
            (Some(_), Some(_)) if !self.is_list => Err(self.reader.repeated()),
            (Some(first), Some(second)) => {
                let mut joined = first.as_bytes().to_vec();
                for line in std::iter::once(second).chain(lines) {
                    joined.extend_from_slice(self.separator);
                    joined.extend_from_slice(line.as_bytes());
                }
                self.read(&joined)
            }
        };
        context.values.push(value.map_err(|wrong| self.refuse(wrong))?);
        Ok(())
    }

    fn read(&self, value: &[u8]) -> Result<Value, Wrong> {
        std::str::from_utf8(value)
            .map_err(|_| self.reader.undecodable("bytes that are not UTF-8"))
            .and_then(|text| self.reader.read(text))
    }

    fn refuse(&self, wrong: Wrong) -> Box<Rejection> {
        Rejection::value(wrong.at("header", self.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::support::{Request, int, text};

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

    fn read(name: &str, lines: &[&str]) -> Result<String, Box<Rejection>> {
        let header = Header::build(name, &text()).expect("a header that compiles");
        let request = lines
            .iter()
            .fold(Request::get("/"), |request, line| request.header(name, line.as_bytes()));
        match request.run(|context| header.apply(context))?.pop() {
            Some(Value::Text(text)) => Ok(text.to_string()),
            other => panic!("expected text, got {other:?}"),
        }
    }

    #[test]
    fn lines_of_a_list_are_combined() {
        for name in ["accept", "if-none-match", "x-forwarded-for", "prefer", "x-own", "tracestate"]
        {
            assert_eq!(read(name, &["a", "b;q=0.1", "c"]).unwrap(), "a, b;q=0.1, c", "{name}");
        }
        assert_eq!(read("cookie", &["a=1", "b=2"]).unwrap(), "a=1; b=2");
    }

    #[test]
    fn lines_of_a_single_value_are_refused() {
        for name in ["authorization", "content-type", "host", "traceparent", "last-event-id"] {
            assert_eq!(read(name, &["a", "a"]).unwrap_err().status, 400, "{name}");
        }
    }

    #[test]
    fn the_host_is_the_authority_where_the_target_has_one() {
        let header = Header::build("host", &text()).expect("a header that compiles");
        let request = Request::get("http://a.example/").header("host", "b.example");

        let values = request.run(|context| header.apply(context)).unwrap();

        assert!(matches!(&values[..], [Value::Text(text)] if &**text == "a.example"));
    }

    #[test]
    fn a_number_given_twice_is_refused() {
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
