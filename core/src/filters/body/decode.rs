//! Content codings of request bodies (RFC 9110, section 8.4): which ones a request names, and the body
//! without them. The bound of a body holds for what it decodes to, and decoding ends there.
//!
//! Those whose decoders the module has anyway: brotli's would add 80 KB, zstd's more.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue};

use super::too_large;
use crate::reject::{MALFORMED_BODY, Rejection, UNSUPPORTED_MEDIA_TYPE};

/// Codings that a body may have on top of each other.
const CODINGS_MAX: usize = 3;
/// Bytes that are decoded at a time.
const CHUNK_BYTES: usize = 32 << 10;
const WINDOW_BITS: u8 = 15;
/// What is decoded, for a client that sends something else.
const SUPPORTED: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// The codings of a body, in the order in which they were applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Codings([Option<Coding>; CODINGS_MAX]);

/// Why a body cannot be decoded.
enum Fault {
    TooLarge,
    Malformed(&'static str),
}

// === impl Codings ===

impl Codings {
    /// Reads what `Content-Encoding` names.
    ///
    /// # Errors
    /// 415 with the codings that are supported, where one is not.
    pub fn read(headers: &HeaderMap) -> Result<Self, Box<Rejection>> {
        let mut codings = Self::default();
        let mut places = codings.0.iter_mut();
        for line in headers.get_all(CONTENT_ENCODING) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                    continue;
                }
                let coding = Coding::read(name).ok_or_else(|| unsupported(name))?;
                *places.next().ok_or_else(|| unsupported(line.as_bytes()))? = Some(coding);
            }
        }
        Ok(codings)
    }

    /// Whether the body is as it was sent.
    pub fn is_identity(self) -> bool {
        self.0[0].is_none()
    }

    /// Decodes a body, the last coding first; `max` bounds the bytes of each step.
    ///
    /// # Errors
    /// 413 where it is larger, 400 where it is not what it says.
    pub fn decode(self, body: Bytes, max: u64) -> Result<Bytes, Box<Rejection>> {
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        self.0.iter().rev().flatten().try_fold(body, |body, coding| {
            coding.decode(&body, most).map(Bytes::from).map_err(|fault| match fault {
                Fault::TooLarge => too_large(max),
                Fault::Malformed(why) => Rejection::because(
                    &MALFORMED_BODY,
                    format!("the body is not valid {}: {why}", coding.name()),
                ),
            })
        })
    }
}

#[cold]
fn unsupported(name: &[u8]) -> Box<Rejection> {
    let name: String = name.escape_ascii().take(80).map(char::from).collect();
    let sentence = format!(
        "expected a body in at most {CODINGS_MAX} of the codings gzip and deflate, got '{name}'"
    );
    Rejection::because(&UNSUPPORTED_MEDIA_TYPE, sentence).with(ACCEPT_ENCODING, SUPPORTED)
}

// === impl Coding ===

impl Coding {
    fn read(name: &[u8]) -> Option<Self> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        Some(match () {
            // RFC 9110, section 8.4.1.3: `x-gzip` is the same coding.
            () if is(b"gzip") || is(b"x-gzip") => Self::Gzip,
            () if is(b"deflate") => Self::Deflate,
            () => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn decode(self, body: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Gzip => gunzip(body, max),
            Self::Deflate => {
                // The coding is zlib's format; many send what is within it alone.
                let mut decoder = Decompress::new(has_zlib_header(body));
                let mut decoded = Vec::new();
                let read = inflate(&mut decoder, body, &mut decoded, max)?;
                if read < body.len() { Err(TRAILING) } else { Ok(decoded) }
            }
        }
    }
}

const TRUNCATED: Fault = Fault::Malformed("it ends too early");
const TRAILING: Fault = Fault::Malformed("something follows its end");
const CORRUPT: Fault = Fault::Malformed("its data are corrupt");

/// One member after the other (RFC 1952, section 2.2), each with its checksum.
fn gunzip(body: &[u8], max: usize) -> Result<Vec<u8>, Fault> {
    let mut decoder = Decompress::new_gzip(WINDOW_BITS);
    let mut decoded = Vec::new();
    let mut rest = body;
    loop {
        let read = inflate(&mut decoder, rest, &mut decoded, max)?;
        rest = rest.get(read..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(decoded);
        }
        if !rest.starts_with(&[0x1f, 0x8b]) {
            return Err(TRAILING);
        }
        decoder.reset(true);
    }
}

/// The method and check bits that a zlib stream begins with (RFC 1950, section 2.2).
fn has_zlib_header(body: &[u8]) -> bool {
    matches!(body, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31))
}

/// Appends what a stream decodes to; how many bytes of `body` the stream has.
fn inflate(
    decoder: &mut Decompress,
    body: &[u8],
    decoded: &mut Vec<u8>,
    max: usize,
) -> Result<usize, Fault> {
    let mut read = 0;
    loop {
        decoded.reserve(CHUNK_BYTES);
        let before = (decoder.total_in(), decoder.total_out());
        let rest = body.get(read..).unwrap_or_default();
        let status =
            decoder.decompress_vec(rest, decoded, FlushDecompress::None).map_err(|_| CORRUPT)?;
        read += (decoder.total_in() - before.0) as usize;
        if decoded.len() > max {
            return Err(Fault::TooLarge);
        }
        match status {
            Status::StreamEnd => return Ok(read),
            // There was room, so what is missing is input.
            _ if (decoder.total_in(), decoder.total_out()) == before => return Err(TRUNCATED),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&'static str]) -> Result<Codings, Box<Rejection>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
        }
        Codings::read(&headers)
    }

    fn decode(
        coding: &'static str,
        body: impl Into<Bytes>,
        max: u64,
    ) -> Result<Bytes, Box<Rejection>> {
        read(&[coding]).unwrap().decode(body.into(), max)
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(body: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn all(body: &[u8]) -> [(&'static str, Vec<u8>); 4] {
        [
            ("gzip", gzip(body)),
            ("X-GZIP", gzip(body)),
            ("deflate", zlib(body)),
            ("deflate", deflate(body)),
        ]
    }

    #[test]
    fn every_coding_is_decoded_up_to_the_bound() {
        let text = "a sentence that repeats. ".repeat(10_000);
        for body in [text.as_bytes(), b"x", b""] {
            let size = body.len() as u64;
            for (coding, coded) in all(body) {
                assert_eq!(decode(coding, coded.clone(), size).unwrap(), body, "{coding}");
                if size > 0 {
                    let rejection = decode(coding, coded, size - 1).unwrap_err();
                    assert_eq!(rejection.status, 413, "{coding}");
                }
            }
        }
    }

    #[test]
    fn truncated_corrupt_and_continued_bodies_are_malformed() {
        let text = "a sentence that repeats. ".repeat(1000);
        for (coding, coded) in all(text.as_bytes()) {
            for end in [0, 1, 2, coded.len() / 2, coded.len() - 1] {
                let rejection = decode(coding, coded[..end].to_vec(), 1 << 20).unwrap_err();
                assert_eq!(rejection.kind.code, "malformed_body", "{coding} up to {end}");
                assert_eq!(rejection.status, 400);
            }
            for rest in [&b"x"[..], b"\0", b"\x1f\x8b"] {
                let longer = [&coded[..], rest].concat();
                assert_eq!(decode(coding, longer, 1 << 20).unwrap_err().status, 400, "{coding}");
            }
            assert_eq!(decode(coding, text.clone(), 1 << 20).unwrap_err().status, 400);
        }
        let mut wrong_checksum = gzip(text.as_bytes());
        let place = wrong_checksum.len() - 8;
        wrong_checksum[place] ^= 1;
        assert_eq!(decode("gzip", wrong_checksum, 1 << 20).unwrap_err().status, 400);
    }

    #[test]
    fn a_gzip_body_may_have_several_members() {
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();

        assert_eq!(decode("gzip", members.clone(), 7).unwrap(), "one two");
        assert_eq!(decode("gzip", members, 6).unwrap_err().status, 413);
    }

    #[test]
    fn codings_are_taken_off_in_the_order_of_the_list() {
        let coded = zlib(&gzip(b"twice"));

        for lines in [
            &["gzip, deflate"][..],
            &["gzip", "deflate"],
            &["identity, gzip ,, DEFLATE"],
            &["", "gzip,deflate,"],
        ] {
            let codings = read(lines).unwrap();
            assert_eq!(codings.decode(coded.clone().into(), 100).unwrap(), "twice", "{lines:?}");
        }
        assert_eq!(decode("deflate, gzip", coded, 100).unwrap_err().status, 400);
    }

    #[test]
    fn no_coding_and_identity_leave_the_body_as_it_is() {
        for lines in [&[][..], &[""], &["identity"], &["Identity, ,identity"]] {
            assert!(read(lines).unwrap().is_identity(), "{lines:?}");
        }
    }

    #[test]
    fn another_coding_is_a_415_with_those_that_are_supported() {
        for wrong in ["br", "zstd", "compress", "gzip;q=1", "gzip br", "*", "gzip,gzip,gzip,gzip"] {
            let rejection = read(&[wrong]).unwrap_err();
            assert_eq!((rejection.status, rejection.kind.code), (415, "unsupported_media_type"));
            assert_eq!(rejection.headers, [(ACCEPT_ENCODING, SUPPORTED)]);
            assert!(rejection.message.contains("gzip and deflate"), "{}", rejection.message);
        }
    }

    #[test]
    fn a_bomb_ends_at_the_bound() {
        let (inner, max) = (vec![0; 64 << 20], 1 << 20);
        for (coding, coded) in all(&inner) {
            assert!(coded.len() < 100_000);
            assert_eq!(decode(coding, coded, max).unwrap_err().status, 413, "{coding}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_decoded_or_refused(body: Vec<u8>, kind in 0_usize..2) {
            let coding = ["gzip", "deflate"][kind];
            if let Err(rejection) = decode(coding, body, 1000) {
                prop_assert!(matches!(rejection.status, 400 | 413));
            }
        }
    }
}
