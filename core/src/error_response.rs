//! `errors`: the one place where a refusal becomes bytes: `{error, code, timestamp, request_id, details?}`, or RFC 9457
//! problem details where the client asks for them.

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::answer::Answer;
use crate::clock;
use crate::reject::{Detail, Rejection};

#[derive(Serialize)]
struct Standard<'a> {
    error: &'a str,
    code: &'a str,
    timestamp: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'a str,
    timestamp: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: (HeaderName, HeaderValue) =
    (http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Writes a refusal in the form that the request's `Accept` asks for.
pub fn write(rejection: Rejection, request: &HeaderMap, request_id: &str) -> Answer {
    let (content_type, body) = if wants_problem(request) {
        (PROBLEM, problem(&rejection, request_id))
    } else {
        (JSON, standard(&rejection, request_id))
    };
    let status =
        StatusCode::from_u16(rejection.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::full(status, content_type, body);
    answer.headers = rejection.headers;
    answer.headers.push(NO_STORE);
    answer
}

/// Whether `Accept` names problem details, and not to refuse them (RFC 9110, section 12.5.1).
fn wants_problem(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/problem+json"))
            && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

/// The standard form.
pub fn standard(rejection: &Rejection, request_id: &str) -> Bytes {
    to_bytes(&Standard {
        error: &rejection.message,
        code: rejection.kind.code,
        timestamp: &clock::timestamp(),
        request_id,
        details: &rejection.details,
    })
}

fn problem(rejection: &Rejection, request_id: &str) -> Bytes {
    to_bytes(&Problem {
        r#type: format!("/errors/{}", rejection.kind.code),
        title: rejection.kind.sentence,
        status: rejection.status,
        detail: &rejection.message,
        instance: format!("urn:request:{request_id}"),
        code: rejection.kind.code,
        timestamp: &clock::timestamp(),
        request_id,
        details: &rejection.details,
    })
}

fn to_bytes(form: &impl Serialize) -> Bytes {
    // Strings and numbers only: writing them to memory cannot fail.
    serde_json::to_vec(form).unwrap_or_default().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::answer::Content;
    use crate::reject::NOT_FOUND;

    fn body(answer: &Answer) -> serde_json::Value {
        match &answer.content {
            Content::Full(bytes) => serde_json::from_slice(bytes).unwrap(),
            _ => panic!("a refusal is whole"),
        }
    }

    #[test]
    fn a_refusal_has_the_standard_form() {
        let answer = write(*Rejection::new(&NOT_FOUND), &HeaderMap::new(), "r1");

        let body = body(&answer);
        assert_eq!(answer.status, 404);
        assert_eq!(body["code"], "not_found");
        assert_eq!(body["request_id"], "r1");
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
        assert!(body.get("details").is_none());
    }

    #[test]
    fn problem_details_that_are_refused_by_their_q_value_are_not_sent() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static("application/problem+json; q=0, */*"));

        let answer = write(*Rejection::new(&NOT_FOUND), &request, "r1");

        assert_eq!(answer.content_type.as_ref().unwrap(), "application/json");
    }

    #[test]
    fn a_client_that_asks_for_problem_details_gets_them() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static("application/problem+json, */*"));

        let answer = write(*Rejection::new(&NOT_FOUND), &request, "r1");

        assert_eq!(answer.content_type.as_ref().unwrap(), "application/problem+json");
        assert_eq!(body(&answer)["type"], "/errors/not_found");
        assert_eq!(body(&answer)["status"], 404);
    }
}
