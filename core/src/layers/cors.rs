//! `cors`: which cross-origin requests browsers may make (Fetch standard, section 3.3).
//!
//! Origins are compared whole and byte by byte with those of the plan: a browser sends them in one
//! form only, and any cleverer match has let strangers in. Everything an answer carries is made at
//! start.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
};
use http::{HeaderMap, Method};

use crate::layers::compress::vary;
use crate::plan::{self, PlanError};

/// Bytes of a method that a route of every method allows by its name.
const METHOD_BYTES_MAX: usize = 32;

const TRUE: HeaderValue = HeaderValue::from_static("true");
static REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
static ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The cross-origin rules, compiled.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    /// Never what a preflight asks for: a list of the plan's.
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
    private_network: bool,
}

#[derive(Debug)]
enum Origins {
    Any,
    These(Box<[HeaderValue]>),
}

// === impl Cors ===

impl Cors {
    /// Compiles the rules; an origin that no browser sends is an error, as it would allow nothing.
    pub fn build(cors: &plan::Cors) -> Result<Self, PlanError> {
        Ok(Self {
            origins: Origins::build(&cors.origins, cors.credentials)?,
            headers: allowed_headers(cors)?,
            expose: list(&cors.expose, "expose")?,
            credentials: cors.credentials,
            max_age: HeaderValue::from(cors.max_age),
            private_network: cors.private_network,
        })
    }

    /// The `Access-Control-Allow-Origin` that a request's origin is answered with; `None` allows
    /// nothing.
    pub fn decide(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        match &self.origins {
            Origins::Any => Some(const { HeaderValue::from_static("*") }),
            Origins::These(origins) => {
                let origin = origin?;
                origins.iter().find(|allowed| *allowed == origin).cloned()
            }
        }
    }

    /// Marks an answer to a request. What a handler itself has set is removed: only the plan decides.
    pub fn apply(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        remove_own(headers);
        self.vary_by_origin(headers);
        let Some(allowed) = self.decide(only(request, &ORIGIN)) else { return };
        self.allow(allowed, headers);
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// The headers that answer a preflight, with status 204; `None` where the request is none.
    ///
    /// Without `allowed` methods the one that is asked for is allowed. A foreign origin gets no
    /// permission, only `Vary`.
    pub fn preflight(
        &self,
        method: &Method,
        request: &HeaderMap,
        allowed: &[Method],
    ) -> Option<HeaderMap> {
        let asked = request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let origin = request.get(ORIGIN)?;
        if method != Method::OPTIONS {
            return None;
        }
        let mut headers = HeaderMap::with_capacity(8);
        self.vary_by_origin(&mut headers);
        vary(&mut headers, "Access-Control-Request-Method");
        vary(&mut headers, "Access-Control-Request-Headers");
        let unambiguous = only(request, &ORIGIN).zip(only(request, &ACCESS_CONTROL_REQUEST_METHOD));
        if unambiguous.is_some()
            && let Some(permitted) = self.decide(Some(origin))
        {
            self.allow(permitted, &mut headers);
            if let Some(names) = methods(allowed, asked) {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, names);
            }
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            if let Some(names) = &self.headers {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            self.allow_private_network(request, &mut headers);
        }
        Some(headers)
    }

    fn allow(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
    }

    /// Also where no `Origin` was sent, or a shared cache would give that answer to a browser
    /// (Fetch, section 3.3.8).
    fn vary_by_origin(&self, headers: &mut HeaderMap) {
        if matches!(self.origins, Origins::These(_)) {
            vary(headers, "Origin");
        }
    }

    fn allow_private_network(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        if !self.private_network {
            return;
        }
        vary(headers, "Access-Control-Request-Private-Network");
        if only(request, &REQUEST_PRIVATE_NETWORK) == Some(&TRUE) {
            headers.insert(ALLOW_PRIVATE_NETWORK.clone(), TRUE);
        }
    }
}

// === impl Origins ===

impl Origins {
    fn build(origins: &[String], credentials: bool) -> Result<Self, PlanError> {
        if !origins.iter().any(|origin| origin == "*") {
            let these = origins.iter().map(|origin| exact(origin)).collect::<Result<_, _>>()?;
            return Ok(Self::These(these));
        }
        if origins.len() > 1 {
            return Err(PlanError::new("cors: the origin `*` stands alone, or not at all"));
        }
        if credentials {
            return Err(PlanError::new(
                "cors: the origin `*` cannot be combined with credentials; list the origins",
            ));
        }
        Ok(Self::Any)
    }
}

/// An origin as browsers serialise it: `scheme://host` in lower case, with a port unless it is the
/// scheme's own.
fn exact(origin: &str) -> Result<HeaderValue, PlanError> {
    let refuse = |why: &str| PlanError::new(format!("cors: the origin `{origin}` {why}"));
    let (scheme, authority) =
        origin.split_once("://").ok_or_else(|| refuse("has no scheme, such as https://"))?;
    if authority.contains(['/', '?', '#']) {
        return Err(refuse("has a path; an origin ends with its host or port"));
    }
    if origin.contains('*') {
        return Err(refuse("has a wildcard; origins are compared whole"));
    }
    if !origin
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'@')
    {
        return Err(refuse(
            "is not written as browsers send it: lower case, ASCII, without a user",
        ));
    }
    let (host, port) = split_port(authority);
    if scheme.is_empty() || host.is_empty() {
        return Err(refuse("has no host"));
    }
    match (scheme, port) {
        (_, None) => {}
        ("http", Some("80")) | ("https", Some("443")) => {
            return Err(refuse("names its scheme's own port, which browsers leave out"));
        }
        (_, Some(port)) if port.parse::<u16>().is_ok_and(|number| number.to_string() == port) => {}
        _ => return Err(refuse("has a port that is not a number")),
    }
    HeaderValue::from_str(origin).map_err(|_| refuse("cannot be a header's value"))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn list(names: &[String], what: &str) -> Result<Option<HeaderValue>, PlanError> {
    if names.is_empty() {
        return Ok(None);
    }
    for name in names {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(PlanError::new(format!("cors: `{name}` in {what} is not a header's name")));
        }
    }
    HeaderValue::from_str(&names.join(", "))
        .map(Some)
        .map_err(|_| PlanError::new(format!("cors: {what} cannot be a header's value")))
}

/// The list of request headers; `*` leaves `Authorization` out, so that it is named (Fetch, section
/// 3.3.4), and is the name of a header where credentials are sent.
fn allowed_headers(cors: &plan::Cors) -> Result<Option<HeaderValue>, PlanError> {
    if !cors.headers.iter().any(|name| name == "*") {
        return list(&cors.headers, "headers");
    }
    if cors.headers.len() > 1 || cors.credentials {
        return Err(PlanError::new(
            "cors: the header `*` stands alone, and not with credentials; list the headers",
        ));
    }
    Ok(Some(HeaderValue::from_static("*, authorization")))
}

/// The methods of a path; a route of every method allows the one that is asked for, unless no browser
/// may send it (Fetch, section 2.2.1).
fn methods(allowed: &[Method], asked: &HeaderValue) -> Option<HeaderValue> {
    if allowed.is_empty() {
        let method = Method::from_bytes(asked.as_bytes()).ok()?;
        let forbidden =
            matches!(method.as_str().to_ascii_uppercase().as_str(), "CONNECT" | "TRACE" | "TRACK");
        return (!forbidden && asked.len() <= METHOD_BYTES_MAX).then(|| asked.clone());
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    HeaderValue::from_str(&names.join(", ")).ok()
}

/// The value of a field that is sent once; several lines of it mean nothing.
fn only<'r>(request: &'r HeaderMap, name: &HeaderName) -> Option<&'r HeaderValue> {
    let mut lines = request.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

fn remove_own(headers: &mut HeaderMap) {
    let is_ours = |name: &HeaderName| name.as_str().starts_with("access-control-");
    if headers.keys().any(is_ours) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, VARY};

    use super::*;

    const APP: &str = "https://app.example.com";

    fn plan(origins: &[&str]) -> plan::Cors {
        plan::Cors {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            headers: vec!["authorization".into(), "content-type".into()],
            expose: vec!["x-request-id".into(), "etag".into()],
            credentials: false,
            max_age: 600,
            private_network: false,
        }
    }

    fn cors(origins: &[&str]) -> Cors {
        Cors::build(&plan(origins)).expect("rules that compile")
    }

    fn answer(cors: &Cors, origin: Option<&str>) -> HeaderMap {
        let (mut request, mut headers) = (HeaderMap::new(), HeaderMap::new());
        if let Some(origin) = origin {
            request.insert(ORIGIN, HeaderValue::from_str(origin).expect("an origin"));
        }
        cors.apply(&request, &mut headers);
        headers
    }

    fn asking(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("an origin"));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"));
        headers.insert(
            ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("authorization, content-type"),
        );
        headers
    }

    #[test]
    fn a_configured_origin_is_allowed_by_its_name() {
        let headers = answer(&cors(&["http://localhost:5173", APP]), Some(APP));

        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "x-request-id, etag");
        assert_eq!(headers[VARY], "Origin");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn another_origin_is_not_allowed_whatever_it_resembles() {
        for foreign in [
            "https://evil.example.com",
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com.evil.com",
            "https://app.example.comx",
            "null",
            "*",
        ] {
            let headers = answer(&cors(&[APP]), Some(foreign));
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{foreign}");
            assert_eq!(headers[VARY], "Origin");
        }
    }

    #[test]
    fn an_answer_varies_by_origin_also_where_none_was_sent() {
        assert_eq!(answer(&cors(&[APP]), None)[VARY], "Origin");
    }

    #[test]
    fn the_origin_star_allows_all_and_does_not_vary() {
        for origin in [Some(APP), None] {
            let headers = answer(&cors(&["*"]), origin);
            assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(!headers.contains_key(VARY));
        }
    }

    #[test]
    fn a_handler_cannot_allow_anything_of_its_own() {
        for origin in ["https://evil.example.com", APP] {
            let mut headers = HeaderMap::new();
            for name in ["origin", "credentials", "methods", "headers"] {
                let name = format!("access-control-allow-{name}").parse::<HeaderName>().unwrap();
                headers.append(name, HeaderValue::from_static("*"));
            }

            cors(&[APP]).apply(&asking(origin), &mut headers);

            let left = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(left.is_some_and(|left| left == APP), origin == APP);
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        }
    }

    #[test]
    fn several_origins_or_methods_are_allowed_nothing() {
        let mut twice = asking(APP);
        twice.append(ORIGIN, HeaderValue::from_static(APP));
        let mut methods = asking(APP);
        methods.append(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"));

        for request in [twice.clone(), methods] {
            let headers = cors(&[APP]).preflight(&Method::OPTIONS, &request, &[]).unwrap();
            assert_eq!(headers.keys().collect::<Vec<_>>(), [VARY]);
        }
        let mut headers = HeaderMap::new();
        cors(&[APP]).apply(&twice, &mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [VARY]);
    }

    #[test]
    fn a_method_that_browsers_may_not_send_is_not_allowed() {
        for method in ["CONNECT", "TRACE", "track", "a b", ""] {
            let mut asked = asking(APP);
            asked.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_str(method).unwrap());
            let headers = cors(&[APP]).preflight(&Method::OPTIONS, &asked, &[]).unwrap();
            assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS), "{method}");
        }
    }

    #[test]
    fn credentials_are_allowed_where_the_plan_says_so() {
        let with = Cors::build(&plan::Cors { credentials: true, ..plan(&[APP]) }).unwrap();

        assert_eq!(answer(&with, Some(APP))[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    }

    #[test]
    fn a_preflight_is_answered_with_what_is_allowed() {
        let allowed = [Method::GET, Method::PUT];

        let headers = cors(&[APP]).preflight(&Method::OPTIONS, &asking(APP), &allowed).unwrap();

        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "GET, PUT");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "authorization, content-type");
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "600");
        let varies: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(
            varies,
            ["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]
        );
    }

    #[test]
    fn a_preflight_of_a_foreign_origin_gets_no_permission() {
        let asked = asking("https://evil.example.com");

        let headers = cors(&[APP]).preflight(&Method::OPTIONS, &asked, &[]).unwrap();

        assert_eq!(headers.keys().collect::<Vec<_>>(), [VARY]);
    }

    #[test]
    fn only_options_with_origin_and_method_is_a_preflight() {
        let cors = cors(&[APP]);
        let (mut no_origin, mut no_method) = (asking(APP), asking(APP));
        no_origin.remove(ORIGIN);
        no_method.remove(ACCESS_CONTROL_REQUEST_METHOD);

        assert!(cors.preflight(&Method::GET, &asking(APP), &[]).is_none());
        assert!(cors.preflight(&Method::OPTIONS, &no_origin, &[]).is_none());
        assert!(cors.preflight(&Method::OPTIONS, &no_method, &[]).is_none());
    }

    #[test]
    fn a_route_of_every_method_allows_the_one_that_is_asked_for() {
        let headers = cors(&[APP]).preflight(&Method::OPTIONS, &asking(APP), &[]).unwrap();

        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "PUT");
    }

    #[test]
    fn the_headers_that_are_asked_for_are_never_repeated() {
        for (listed, allowed) in [
            (&["x-key"][..], Some("x-key")),
            (&["x-key", "x-id"], Some("x-key, x-id")),
            (&["*"], Some("*, authorization")),
            (&[], None),
        ] {
            let headers = listed.iter().map(|name| (*name).to_owned()).collect();
            let cors = Cors::build(&plan::Cors { headers, ..plan(&[APP]) }).unwrap();
            let mut asked = asking(APP);
            asked.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("x-evil"));
            let answer = cors.preflight(&Method::OPTIONS, &asked, &[]).unwrap();
            let found = answer.get(ACCESS_CONTROL_ALLOW_HEADERS);
            assert_eq!(found.map(|value| value.to_str().unwrap()), allowed);
        }
    }

    #[test]
    fn the_header_star_goes_neither_with_credentials_nor_with_others() {
        for (headers, credentials) in [(&["*"][..], true), (&["*", "x-key"], false)] {
            let headers = headers.iter().map(|name| (*name).to_owned()).collect();
            assert!(Cors::build(&plan::Cors { headers, credentials, ..plan(&[APP]) }).is_err());
        }
    }

    #[test]
    fn a_private_network_is_reached_where_plan_and_browser_say_so() {
        let rules = plan::Cors { private_network: true, ..plan(&[APP]) };
        let mut asked = asking(APP);
        asked.insert(REQUEST_PRIVATE_NETWORK.clone(), TRUE);

        let open = Cors::build(&rules).unwrap().preflight(&Method::OPTIONS, &asked, &[]).unwrap();
        let closed = cors(&[APP]).preflight(&Method::OPTIONS, &asked, &[]).unwrap();

        assert_eq!(open[&ALLOW_PRIVATE_NETWORK], "true");
        assert!(!closed.contains_key(&ALLOW_PRIVATE_NETWORK));
    }

    #[test]
    fn origins_that_browsers_never_send_are_errors_of_the_plan() {
        for wrong in [
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://*.example.com",
            "https://App.example.com",
            "https://user@app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:x",
            "https://app.example.com:080",
            "https://",
            "://x",
            "null",
            "https://büro.example",
            "",
        ] {
            assert!(Cors::build(&plan(&[wrong])).is_err(), "{wrong}");
        }
        for good in
            ["http://[::1]:8000", "http://[::1]", "http://127.0.0.1:3000", "tauri://localhost"]
        {
            assert!(Cors::build(&plan(&[good])).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_origin_star_goes_neither_with_credentials_nor_with_others() {
        assert!(Cors::build(&plan::Cors { credentials: true, ..plan(&["*"]) }).is_err());
        assert!(Cors::build(&plan(&["*", APP])).is_err());
    }
}
