//! permessage-deflate (RFC 7692): what of an offer is agreed to, and the two directions.
//!
//! Both directions go without context takeover, whatever the client offers: a deflated message is then the same for every
//! subscriber and made once, and no socket keeps a compressor (256 KiB) or a window (40 KiB) between messages. What
//! works is the thread's, lent out for one message at a time.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::Fault;

/// What ends each flushed block, and is left out on the wire (RFC 7692, section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];
/// Bytes of room that output is given at first; it doubles from there.
const ROOM: usize = 1 << 10;
/// Bytes; a longer message is sent plain, since deflating it would hold up the other connections of its thread for more
/// than about 2 ms.
pub const DEFLATED_BYTES_MAX: usize = 256 << 10;
/// How many idle decompressors a thread keeps.
const KEPT: usize = 4;
/// Level 1 halves JSON as well as 6 does, near enough, in a fraction of the time.
const LEVEL: Compression = Compression::fast();

/// How messages to a socket may be deflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deflate {
    /// Not at all.
    Off,
    /// With the full window of 32 KiB.
    Full,
    /// With the smallest window, 512 bytes, for clients that ask for any smaller than the full one.
    Small,
}

/// What was agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// How the server deflates.
    pub deflate: Deflate,
    /// The value of `sec-websocket-extensions` in the answer.
    pub header: &'static str,
}

/// Takes the first offer that can be met, of all in `sec-websocket-extensions` (RFC 7692, section 5).
pub fn agree<'h>(offers: impl Iterator<Item = &'h str>) -> Option<Agreement> {
    offers.flat_map(|line| line.split(',')).find_map(consider)
}

/// Agrees to one offer, unless a parameter is unknown, wrong, given twice, or a window is asked for that cannot be had.
fn consider(offer: &str) -> Option<Agreement> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
        return None;
    }
    let mut seen = Vec::new();
    let mut window = None;
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (part, None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            // What the client then deflates with is its affair: any window is read with the full one.
            ("client_max_window_bits", Some(bits)) => drop(window_bits(bits)?),
            ("server_max_window_bits", Some(bits)) => window = Some(window_bits(bits)?),
            _ => return None,
        }
    }
    match window {
        None => Some(Agreement {
            deflate: Deflate::Full,
            header: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        }),
        Some(15) => Some(Agreement {
            deflate: Deflate::Full,
            header: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=15",
        }),
        // zlib cannot write raw deflate with a window of 8 bits.
        Some(8) => None,
        Some(_) => Some(Agreement {
            deflate: Deflate::Small,
            header: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                     server_max_window_bits=9",
        }),
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// 8 to 15 in decimal without leading zeroes (RFC 7692, section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    ["8", "9", "10", "11", "12", "13", "14", "15"]
        .iter()
        .position(|known| *known == value)
        .map(|place| place as u8 + 8)
}

thread_local! {
    static FULL: RefCell<Option<Compress>> = const { RefCell::new(None) };
    static SMALL: RefCell<Option<Compress>> = const { RefCell::new(None) };
    static IDLE: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// Deflates a message, without the tail. `None` where it is to be sent plain: it is too long, or zlib fails.
pub fn compress(payload: &[u8], deflate: Deflate) -> Option<Vec<u8>> {
    if payload.len() > DEFLATED_BYTES_MAX {
        return None;
    }
    compress_whole(payload, deflate)
}

fn compress_whole(payload: &[u8], deflate: Deflate) -> Option<Vec<u8>> {
    let (kept, bits) = match deflate {
        Deflate::Off => return None,
        Deflate::Full => (&FULL, 15),
        Deflate::Small => (&SMALL, 9),
    };
    kept.with_borrow_mut(|kept| {
        let zlib = kept.get_or_insert_with(|| Compress::new_with_window_bits(LEVEL, false, bits));
        zlib.reset();
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        loop {
            let done = zlib.total_in() as usize;
            let rest = payload.get(done..)?;
            zlib.compress_vec(rest, &mut out, FlushCompress::Sync).ok()?;
            // A flush is whole when it leaves room (zlib's manual, `deflate`).
            if zlib.total_in() as usize == payload.len() && out.len() < out.capacity() {
                break;
            }
            out.reserve(out.len().max(64));
        }
        out.ends_with(TAIL).then(|| {
            out.truncate(out.len() - TAIL.len());
            out
        })
    })
}

/// Inflates one message; what works in it goes back to the thread at its end.
pub struct Inflater {
    zlib: Option<Decompress>,
}

impl Inflater {
    /// Begins a message.
    pub fn start() -> Self {
        let idle = IDLE.with_borrow_mut(Vec::pop);
        Self { zlib: Some(idle.unwrap_or_else(|| Decompress::new(false))) }
    }

    /// Inflates a part of the message into `out`, which grows to `max_bytes` at most.
    pub fn push(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        max_bytes: usize,
    ) -> Result<(), Fault> {
        let Some(zlib) = &mut self.zlib else { return Ok(()) };
        loop {
            if out.len() == out.capacity() {
                // One byte more than is allowed tells that there is more.
                let room = max_bytes.saturating_add(1).saturating_sub(out.len());
                out.reserve_exact(out.len().max(ROOM).min(room));
            }
            let (read, written) = (zlib.total_in(), out.len());
            let status = zlib
                .decompress_vec(input, out, FlushDecompress::Sync)
                .map_err(|_| Fault::new(1007, "the message is not valid deflate data"))?;
            let read = (zlib.total_in() - read) as usize;
            input = input.get(read..).unwrap_or_default();
            if out.len() > max_bytes {
                return Err(Fault::too_big());
            }
            if status == Status::StreamEnd {
                // The client ended its stream (RFC 7692, section 7.2.3.5); what follows is another.
                zlib.reset(false);
            } else if read == 0 && out.len() == written && !input.is_empty() {
                return Err(Fault::new(1007, "the message is not valid deflate data"));
            }
            if input.is_empty() && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }

    /// Ends the message.
    pub fn finish(&mut self, out: &mut Vec<u8>, max_bytes: usize) -> Result<(), Fault> {
        self.push(TAIL, out, max_bytes)
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        let Some(mut zlib) = self.zlib.take() else { return };
        IDLE.with_borrow_mut(|idle| {
            if idle.len() < KEPT {
                zlib.reset(false);
                idle.push(zlib);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(deflated: &[u8], max_bytes: usize) -> Result<Vec<u8>, Fault> {
        let (mut out, mut inflater) = (Vec::new(), Inflater::start());
        for part in deflated.chunks(7) {
            inflater.push(part, &mut out, max_bytes)?;
        }
        inflater.finish(&mut out, max_bytes)?;
        Ok(out)
    }

    #[test]
    fn what_is_deflated_is_inflated_again_with_either_window() {
        let text: Vec<u8> = (0..20_000).map(|i| (i * i % 251) as u8).collect();

        for deflate in [Deflate::Full, Deflate::Small] {
            for length in [0, 1, 125, 4096, 20_000] {
                let deflated = compress(&text[..length], deflate).unwrap();
                assert_eq!(inflate(&deflated, 20_000).unwrap(), text[..length], "{length}");
            }
        }
    }

    #[test]
    fn a_bomb_is_cut_at_the_limit() {
        let bomb = compress_whole(&vec![0; 10 << 20], Deflate::Full).unwrap();
        let (mut out, mut inflater) = (Vec::new(), Inflater::start());

        let fault = inflater.push(&bomb, &mut out, 1000).unwrap_err();

        assert_eq!(fault.code, 1009);
        assert!(out.capacity() <= 2048, "{}", out.capacity());
    }

    #[test]
    fn a_message_of_exactly_the_limit_passes() {
        let exact = compress(&[7; 1000], Deflate::Full).unwrap();

        assert_eq!(inflate(&exact, 1000).unwrap(), [7; 1000]);
        assert_eq!(inflate(&exact, 999).unwrap_err().code, 1009);
    }

    #[test]
    fn a_stream_that_ends_within_a_message_is_read() {
        // RFC 7692, section 7.2.3.5: "Hello" with the BFINAL bit.
        let final_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];

        assert_eq!(inflate(&final_block, 100).unwrap(), b"Hello");
    }

    #[test]
    fn what_is_not_deflate_data_is_told() {
        assert_eq!(inflate(&[0xff; 20], 100).unwrap_err().code, 1007);
    }

    #[test]
    fn the_first_offer_that_can_be_met_is_agreed_to() {
        let agreed = |offers: &str| agree([offers].into_iter()).map(|agreed| agreed.deflate);

        assert_eq!(agreed("permessage-deflate"), Some(Deflate::Full));
        assert_eq!(agreed("x-webkit, Permessage-Deflate"), Some(Deflate::Full));
        assert_eq!(
            agreed("permessage-deflate; client_max_window_bits; server_no_context_takeover"),
            Some(Deflate::Full)
        );
        assert_eq!(
            agreed("permessage-deflate; server_max_window_bits=\"10\""),
            Some(Deflate::Small)
        );
        assert_eq!(agreed("permessage-deflate; server_max_window_bits=15"), Some(Deflate::Full));
        assert_eq!(
            agreed("permessage-deflate; server_max_window_bits=8, permessage-deflate"),
            Some(Deflate::Full)
        );
    }

    #[test]
    fn a_wrong_offer_is_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
        ] {
            assert_eq!(agree([offer].into_iter()), None, "{offer}");
        }
    }
}
