//! `compress`: answers in the coding that the client prefers (RFC 9110, sections 8.4 and 12.5.3).
//!
//! [`Compress::wants`] says whether an answer is one to compress, whoever asks; such an answer
//! varies by `Accept-Encoding` even where this client takes it as it is. [`Compress::choose`] reads
//! what the client takes.

pub mod pool;
pub mod stream;

use std::io::Write;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderValue, VARY,
};
use http::{HeaderMap, StatusCode};

use crate::plan::{self, PlanError};
use pool::Pool;

/// Where brotli costs about what gzip does and still beats its size.
const BROTLI_QUALITY: i32 = 4;
const GZIP_LEVEL: u32 = 5;
/// Window of a stream, as a power of two: 256 KiB bound what one slow client costs.
const STREAM_WINDOW: i32 = 18;
const BROTLI_BUFFER: usize = 4096;

/// Which answers are compressed, compiled.
#[derive(Debug)]
pub struct Compress {
    min_bytes: usize,
    codings: Box<[Coding]>,
    types: Box<[Type]>,
    /// Compresses what is long.
    pub pool: Pool,
}

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Brotli,
    /// gzip (RFC 1952).
    Gzip,
}

#[derive(Debug)]
enum Type {
    Exact(Box<str>),
    /// `text/*` as `text/`.
    Under(Box<str>),
}

/// The thousandths of a q-value that the client gives each coding; `None` where it names it not.
#[derive(Debug, Default)]
struct Preferences {
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

/// A stream's encoder.
pub struct Encoder {
    inner: Inner,
}

enum Inner {
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

// === impl Compress ===

impl Compress {
    /// Compiles the layer; unknown codings and malformed types are errors.
    pub fn build(compress: &plan::Compress) -> Result<Self, PlanError> {
        Ok(Self {
            min_bytes: compress.min_bytes,
            codings: compress
                .encodings
                .iter()
                .map(|name| Coding::build(name))
                .collect::<Result<_, _>>()?,
            types: compress.types.iter().map(|name| Type::build(name)).collect::<Result<_, _>>()?,
            pool: Pool::new(),
        })
    }

    /// The coding that a request's headers ask for; `None` sends the answer as it is, which is also
    /// right where the client accepts nothing that there is.
    pub fn choose(&self, request: &HeaderMap) -> Option<Coding> {
        let mut preferences = Preferences::default();
        for value in request.get_all(ACCEPT_ENCODING) {
            for member in value.as_bytes().split(|byte| *byte == b',') {
                preferences.read(member);
            }
        }
        let mut best: Option<(Coding, u16)> = None;
        for coding in &self.codings {
            let weight = preferences.weight(*coding);
            if weight > best.map_or(0, |(_, best)| best) {
                best = Some((*coding, weight));
            }
        }
        best.filter(|(_, weight)| *weight >= preferences.identity.unwrap_or(0))
            .map(|(coding, _)| coding)
    }

    /// Whether an answer is one to compress. `length` is the body's, `None` for a stream.
    pub fn wants(&self, status: StatusCode, headers: &HeaderMap, length: Option<u64>) -> bool {
        length.is_none_or(|length| length >= self.min_bytes as u64)
            && has_whole_body(status)
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && self.is_listed(headers)
            && !forbids_transform(headers)
    }

    fn is_listed(&self, headers: &HeaderMap) -> bool {
        let Some(given) = headers.get(CONTENT_TYPE) else { return false };
        let essence = given.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        self.types.iter().any(|known| known.matches(essence.trim_ascii()))
    }
}

// === impl Coding ===

impl Coding {
    fn build(name: &str) -> Result<Self, PlanError> {
        match name {
            "br" => Ok(Self::Brotli),
            "gzip" => Ok(Self::Gzip),
            _ => Err(PlanError::new(format!(
                "compress: the encoding `{name}` is neither br nor gzip"
            ))),
        }
    }

    /// Its name in `Content-Encoding`.
    pub fn name(self) -> HeaderValue {
        match self {
            Self::Brotli => const { HeaderValue::from_static("br") },
            Self::Gzip => const { HeaderValue::from_static("gzip") },
        }
    }

    /// Marks an answer as coded. A strong `ETag` becomes weak: the bytes are no longer those that
    /// it names (RFC 9110, section 8.8.3.3).
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_ENCODING, self.name());
        headers.remove(CONTENT_LENGTH); // of the body before it was compressed
        let Some(tag) = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")) else {
            return;
        };
        if let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
            headers.insert(ETAG, weak);
        }
    }
}

// === impl Type ===

impl Type {
    fn build(name: &str) -> Result<Self, PlanError> {
        let malformed = || PlanError::new(format!("compress: `{name}` is not a content type"));
        let (top, sub) = name.split_once('/').ok_or_else(malformed)?;
        if top.is_empty() || sub.is_empty() || top == "*" || name.contains([';', ' ']) {
            return Err(malformed());
        }
        Ok(if sub == "*" {
            Self::Under(format!("{top}/").into())
        } else {
            Self::Exact(name.into())
        })
    }

    fn matches(&self, essence: &[u8]) -> bool {
        match self {
            Self::Exact(name) => essence.eq_ignore_ascii_case(name.as_bytes()),
            Self::Under(top) => essence
                .get(..top.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(top.as_bytes())),
        }
    }
}

// === impl Preferences ===

impl Preferences {
    fn read(&mut self, member: &[u8]) {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let place = match name {
            b"*" => &mut self.others,
            _ if name.eq_ignore_ascii_case(b"br") => &mut self.brotli,
            // RFC 9110, section 8.4.1.3: `x-gzip` is the same coding.
            _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                &mut self.gzip
            }
            _ if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            _ => return,
        };
        match (parts.next().map(thousandths), parts.next()) {
            (None, _) => *place = Some(1000),
            (Some(Some(weight)), None) => *place = Some(weight),
            // A member that cannot be read says nothing.
            _ => {}
        }
    }

    fn weight(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// A `weight` of RFC 9110, section 12.4.2: `q=0` to `q=1` with up to three decimals.
fn thousandths(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), rest @ ..] = parameter else { return None };
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * 1000;
    for (digit, unit) in decimals.iter().zip([100, 10, 1]) {
        weight += u16::from(digit.is_ascii_digit().then(|| digit - b'0')?) * unit;
    }
    (weight <= 1000).then_some(weight)
}

fn has_whole_body(status: StatusCode) -> bool {
    !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        )
}

fn forbids_transform(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let mut directives = value.as_bytes().split(|byte| *byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

/// Adds a name to `Vary`, unless it is there already.
pub fn vary(headers: &mut HeaderMap, name: &'static str) {
    let known = headers.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.any(|known| known == b"*" || known.eq_ignore_ascii_case(name.as_bytes()))
    });
    if !known {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

/// Compresses a whole body.
pub fn compress(coding: Coding, body: &[u8]) -> Bytes {
    // The window need not exceed the body: a small one spares the encoder's tables.
    let window = (usize::BITS - body.len().leading_zeros()).clamp(10, 22) as i32;
    let mut encoder = Encoder::with_window(coding, window, body.len() / 3);
    encoder.write(body);
    encoder.finish()
}

// === impl Encoder ===

impl Encoder {
    /// Begins a stream.
    pub fn new(coding: Coding) -> Self {
        Self::with_window(coding, STREAM_WINDOW, 0)
    }

    /// Compresses a chunk, whole: what is returned decodes to all that was pushed, so that an event
    /// leaves at once.
    pub fn push(&mut self, chunk: &[u8]) -> Bytes {
        if chunk.is_empty() {
            return Bytes::new();
        }
        self.write(chunk);
        let (flushed, out) = match &mut self.inner {
            Inner::Brotli(writer) => (writer.flush(), writer.get_mut()),
            Inner::Gzip(writer) => (writer.flush(), writer.get_mut()),
        };
        debug_assert!(flushed.is_ok(), "writing to memory does not fail");
        std::mem::take(out).into()
    }

    /// Ends the stream; the rest of its bytes.
    pub fn finish(self) -> Bytes {
        let mut bytes = match self.inner {
            Inner::Brotli(writer) => writer.into_inner(),
            Inner::Gzip(writer) => writer.finish().unwrap_or_default(),
        };
        bytes.shrink_to_fit(); // a client that reads slowly must not hold what was not needed
        bytes.into()
    }

    fn with_window(coding: Coding, window: i32, capacity: usize) -> Self {
        let out = Vec::with_capacity(capacity);
        let inner = match coding {
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: window,
                    ..BrotliEncoderParams::default()
                };
                Inner::Brotli(Box::new(CompressorWriter::with_params(out, BROTLI_BUFFER, &params)))
            }
            Coding::Gzip => {
                Inner::Gzip(Box::new(GzEncoder::new(out, Compression::new(GZIP_LEVEL))))
            }
        };
        Self { inner }
    }

    fn write(&mut self, bytes: &[u8]) {
        let written = match &mut self.inner {
            Inner::Brotli(writer) => writer.write_all(bytes),
            Inner::Gzip(writer) => writer.write_all(bytes),
        };
        debug_assert!(written.is_ok(), "writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn layer() -> Compress {
        Compress::build(&plan::Compress {
            min_bytes: 100,
            encodings: vec!["br".into(), "gzip".into()],
            types: vec!["text/*".into(), "application/json".into()],
        })
        .expect("a layer that compiles")
    }

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn choose(accept: &'static str) -> Option<Coding> {
        layer().choose(&headers(&[("accept-encoding", accept)]))
    }

    fn decode(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut decoded),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded),
        }
        .expect("bytes that decode");
        decoded
    }

    #[test]
    fn the_coding_with_the_highest_q_is_chosen_and_the_plan_decides_among_equals() {
        for (accept, chosen) in [
            ("gzip, br", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.999", Some(Coding::Gzip)),
            ("br;q=0, gzip;q=0.001", Some(Coding::Gzip)),
            ("GZIP ; Q=0.5", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("deflate, zstd", None),
            ("", None),
            ("gzip;q=0", None),
        ] {
            assert_eq!(choose(accept), chosen, "{accept}");
        }
        assert_eq!(layer().choose(&HeaderMap::new()), None);
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        for (accept, chosen) in [
            ("*", Some(Coding::Brotli)),
            ("br;q=0, *", Some(Coding::Gzip)),
            ("gzip, *;q=0", Some(Coding::Gzip)),
            ("*;q=0", None),
            ("gzip;q=0.2, *;q=0.1", Some(Coding::Gzip)),
        ] {
            assert_eq!(choose(accept), chosen, "{accept}");
        }
    }

    #[test]
    fn identity_is_kept_where_the_client_prefers_it_and_left_where_it_refuses_it() {
        for (accept, chosen) in [
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0.1", Some(Coding::Gzip)),
            ("identity;q=0, *", Some(Coding::Brotli)),
            ("identity;q=0", None),
        ] {
            assert_eq!(choose(accept), chosen, "{accept}");
        }
    }

    #[test]
    fn a_q_value_that_cannot_be_read_says_nothing() {
        for accept in
            ["gzip;q=2", "gzip;q=1.5", "gzip;q=0.1234", "gzip;q=-1", "gzip;q=x", "gzip;x=1;q=1"]
        {
            assert_eq!(choose(accept), None, "{accept}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let request =
            headers(&[("accept-encoding", "gzip;q=0.1"), ("accept-encoding", "br;q=0.2")]);

        assert_eq!(layer().choose(&request), Some(Coding::Brotli));
    }

    #[test]
    fn size_type_and_status_decide_what_is_compressed() {
        let json = headers(&[("content-type", "Application/JSON; charset=utf-8")]);
        let layer = layer();

        assert!(layer.wants(StatusCode::OK, &json, Some(100)));
        assert!(layer.wants(StatusCode::OK, &json, None));
        assert!(layer.wants(StatusCode::NOT_FOUND, &json, Some(1000)));
        assert!(!layer.wants(StatusCode::OK, &json, Some(99)));
        for status in [204, 206, 304, 101] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(!layer.wants(status, &json, Some(1000)), "{status}");
        }
    }

    #[test]
    fn only_listed_types_are_compressed() {
        let listed =
            |given| layer().wants(StatusCode::OK, &headers(&[("content-type", given)]), None);

        assert!(listed("text/event-stream") && listed("TEXT/html;charset=utf-8"));
        assert!(!listed("image/png") && !listed("application/jsonx") && !listed("text"));
        assert!(!layer().wants(StatusCode::OK, &HeaderMap::new(), None));
    }

    #[test]
    fn nothing_is_compressed_twice_or_where_it_must_not_be_transformed() {
        for given in [
            ("content-encoding", "gzip"),
            ("content-encoding", "identity"),
            ("content-range", "bytes 0-99/200"),
            ("cache-control", "public, No-Transform"),
        ] {
            let answer = headers(&[("content-type", "text/plain"), given]);
            assert!(!layer().wants(StatusCode::OK, &answer, Some(1000)), "{given:?}");
        }
    }

    #[test]
    fn a_coded_answer_names_its_coding_and_weakens_its_tag() {
        let mut strong = headers(&[("etag", "\"v1\"")]);
        let mut weak = headers(&[("etag", "W/\"v1\"")]);

        Coding::Brotli.mark(&mut strong);
        Coding::Gzip.mark(&mut weak);

        assert_eq!(
            (&strong[CONTENT_ENCODING], &strong[ETAG]),
            (&Coding::Brotli.name(), &weak[ETAG])
        );
        assert_eq!(
            (weak[CONTENT_ENCODING].as_bytes(), weak[ETAG].as_bytes()),
            (&b"gzip"[..], &b"W/\"v1\""[..])
        );
    }

    #[test]
    fn vary_names_each_thing_once() {
        let mut answer = headers(&[("vary", "Accept, accept-encoding")]);
        vary(&mut answer, "Accept-Encoding");
        vary(&mut answer, "Origin");
        vary(&mut answer, "Origin");
        let mut everything = headers(&[("vary", "*")]);
        vary(&mut everything, "Origin");

        let all: Vec<_> = answer.get_all(VARY).iter().collect();
        assert_eq!(all, ["Accept, accept-encoding", "Origin"]);
        assert_eq!(everything.get_all(VARY).iter().count(), 1);
    }

    #[test]
    fn a_compressed_body_is_smaller_and_decodes_to_itself() {
        let body = r#"{"entity_id":"a","entity_type":"person","tags":["x","y"]},"#.repeat(200);
        for coding in [Coding::Brotli, Coding::Gzip] {
            let coded = compress(coding, body.as_bytes());
            assert!(coded.len() * 10 < body.len(), "{coding:?}: {}", coded.len());
            assert_eq!(decode(coding, &coded), body.as_bytes());
        }
    }

    #[test]
    fn every_chunk_of_a_stream_can_be_read_at_once() {
        let mut encoder = Encoder::new(Coding::Gzip);
        let mut decoder = flate2::write::GzDecoder::new(Vec::new());
        for event in ["data: one\n\n", "data: two\n\n"] {
            decoder.write_all(&encoder.push(event.as_bytes())).unwrap();
            decoder.flush().unwrap();
            assert!(decoder.get_ref().ends_with(event.as_bytes()));
        }
        let mut encoder = Encoder::new(Coding::Brotli);
        let mut decoder = brotli::DecompressorWriter::new(Vec::new(), 4096);
        for event in ["data: one\n\n", "data: two\n\n"] {
            decoder.write_all(&encoder.push(event.as_bytes())).unwrap();
            assert!(decoder.get_ref().ends_with(event.as_bytes()));
        }
    }

    #[test]
    fn a_long_chunk_of_a_stream_can_be_read_at_once() {
        for size in [5_000, 17_000, 33_000, 70_000, 300_000] {
            let words: Vec<_> =
                (0..size / 10).map(|n| format!("{:09} ", n * 7919 % 100_003)).collect();
            let words = words.concat();
            let mut encoder = Encoder::new(Coding::Brotli);
            let (mut sent, mut expected) = (Vec::new(), Vec::new());
            for event in ["retry: 2000\n\n", &words, "id: 1\n\n"] {
                sent.extend_from_slice(&encoder.push(event.as_bytes()));
                expected.extend_from_slice(event.as_bytes());
                let mut read = vec![0; expected.len()];
                let decoded = brotli::Decompressor::new(&sent[..], 4096).read_exact(&mut read);
                assert!(decoded.is_ok(), "{size}: {decoded:?}");
                assert!(read == expected, "{size}");
            }
        }
    }

    #[test]
    fn unknown_codings_and_malformed_types_are_errors_of_the_plan() {
        let plan = |encoding: &str, kind: &str| plan::Compress {
            min_bytes: 0,
            encodings: vec![encoding.into()],
            types: vec![kind.into()],
        };

        assert!(Compress::build(&plan("deflate", "text/*")).is_err());
        for kind in ["text", "*/*", "text/", "/json", "text/html; charset=utf-8"] {
            assert!(Compress::build(&plan("br", kind)).is_err(), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn a_stream_decodes_to_the_chunks_that_were_pushed(
            chunks in vec(vec(any::<u8>(), 0..300), 0..8),
        ) {
            for coding in [Coding::Brotli, Coding::Gzip] {
                let mut encoder = Encoder::new(coding);
                let mut coded: Vec<u8> = Vec::new();
                for chunk in &chunks {
                    coded.extend_from_slice(&encoder.push(chunk));
                }
                coded.extend_from_slice(&encoder.finish());
                prop_assert_eq!(decode(coding, &coded), chunks.concat());
                let whole = compress(coding, &chunks.concat());
                prop_assert_eq!(decode(coding, &whole), chunks.concat());
            }
        }

        #[test]
        fn no_header_makes_the_choice_panic(accept in "[ -~]{0,60}") {
            let mut request = HeaderMap::new();
            request.insert(ACCEPT_ENCODING, HeaderValue::from_str(&accept).unwrap());
            let _ = layer().choose(&request);
        }
    }
}
