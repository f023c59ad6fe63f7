//! The parser against frames as clients write them, whole, split at any place, and wrong in every way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::websocket::deflate::{Deflate, compress};

/// A frame of a client: masked.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0xab, 0xcd];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(0x80 | 0x7e);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 0x7f);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn read(pieces: &[&[u8]], max_bytes: usize, deflate: bool) -> (Vec<Received>, Option<u16>) {
    let mut parser = Parser::new(max_bytes, deflate);
    let mut all = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match parser.next(&mut input) {
                Ok(Some(received)) => all.push(received),
                Ok(None) => break,
                Err(fault) => return (all, Some(fault.code)),
            }
        }
    }
    (all, None)
}

fn fault(bytes: &[u8]) -> Option<u16> {
    read(&[bytes], 1000, true).1
}

fn text(text: &str) -> Received {
    Received::Message(Message::Text(Bytes::copy_from_slice(text.as_bytes())))
}

#[test]
fn a_ping_comes_between_the_fragments_of_a_message() {
    let bytes = [masked(0x01, b"he"), masked(0x89, b"?"), masked(0x80, b"llo")].concat();

    let (all, fault) = read(&[&bytes], 100, false);

    let ping = Received::Message(Message::Ping(Bytes::from_static(b"?")));
    assert_eq!((all, fault), (vec![ping, text("hello")], None));
}

#[test]
fn what_the_standard_forbids_is_a_protocol_error() {
    let mut unmasked = masked(0x81, b"x");
    unmasked[1] = 1;
    for (what, bytes) in [
        ("unmasked", unmasked),
        ("rsv2", masked(0xa1, b"")),
        ("rsv3", masked(0x91, b"")),
        ("rsv1 of a control frame", masked(0xc9, b"")),
        ("rsv1 of a continuation", [masked(0x01, b""), masked(0xc0, b"")].concat()),
        ("opcode 3", masked(0x83, b"")),
        ("opcode 11", masked(0x8b, b"")),
        ("fragmented ping", masked(0x09, b"")),
        ("long ping", masked(0x89, &[0; 126])),
        ("continuation of nothing", masked(0x80, b"")),
        ("message within a message", [masked(0x01, b""), masked(0x81, b"")].concat()),
        ("close code of one byte", masked(0x88, b"\x03")),
        ("close code 1005", masked(0x88, &1005_u16.to_be_bytes())),
        ("close code 2999", masked(0x88, &2999_u16.to_be_bytes())),
        ("length of 2 bytes for 1", vec![0x82, 0xfe, 0, 1, 0, 0, 0, 0, 0]),
        ("length of 8 bytes for 2", vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]),
        ("length beyond 63 bits", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(fault(&bytes), Some(1002), "{what}");
    }
    assert_eq!(read(&[&masked(0xc1, b"")], 9, false).1, Some(1002), "rsv1 not negotiated");
}

#[test]
fn text_that_is_not_utf_8_is_told_at_its_first_wrong_byte() {
    let whole = masked(0x81, b"\xce\xba\xf4\x90\x80\x80 and more");

    assert_eq!(read(&[&whole[..whole.len() - 11]], 100, false).1, Some(1007));
    assert_eq!(fault(&masked(0x81, b"\xce")), Some(1007), "cut off at the end");
    assert_eq!(fault(&masked(0x88, b"\x03\xe8\xff")), Some(1007), "the reason of a close");
    let split = [masked(0x01, b"\xce"), masked(0x80, b"\xba")].concat();
    assert_eq!(read(&[&split], 100, false), (vec![text("κ")], None));
}

#[test]
fn a_message_beyond_the_limit_is_refused_at_its_head() {
    let head = &masked(0x82, &[0; 101])[..6];
    let fragments = [masked(0x02, &[0; 60]), masked(0x80, &[0; 41])].concat();

    assert_eq!(read(&[head], 100, false).1, Some(1009));
    assert_eq!(read(&[&fragments], 100, false).1, Some(1009));
    assert_eq!(read(&[&masked(0x82, &[0; 100])], 100, false).0.len(), 1);
}

#[test]
fn a_deflated_message_is_inflated_to_its_limit() {
    let payload = "hello ".repeat(100);
    let deflated = compress(payload.as_bytes(), Deflate::Full).unwrap();
    let (one, two) = deflated.split_at(5);
    let fragments = [masked(0x41, one), masked(0x80, two), masked(0x81, b"plain")].concat();

    assert_eq!(read(&[&fragments], 600, true), (vec![text(&payload), text("plain")], None));
    assert_eq!(read(&[&fragments], 599, true).1, Some(1009));
}

#[test]
fn a_close_is_read_with_and_without_its_code() {
    assert_eq!(read(&[&masked(0x88, b"")], 9, false).0, [Received::Close(1005, "".into())]);
    assert_eq!(
        read(&[&masked(0x88, b"\x0f\xa1bye")], 9, false).0,
        [Received::Close(4001, "bye".into())]
    );
}

/// Frames that make sense together: messages in fragments with control frames between.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let message = (any::<bool>(), any::<bool>(), "\\PC{0,300}", 1_usize..4, any::<bool>());
    vec(message, 1..6).prop_map(|messages| {
        let mut bytes = Vec::new();
        for (is_text, deflated, content, fragments, ping) in messages {
            let payload = if deflated {
                compress(content.as_bytes(), Deflate::Small).unwrap()
            } else {
                content.into_bytes()
            };
            let size = payload.len().div_ceil(fragments).max(1);
            let mut parts: Vec<&[u8]> = payload.chunks(size).collect();
            if parts.is_empty() {
                parts.push(&[]);
            }
            for (index, part) in parts.iter().enumerate() {
                let fin = if index + 1 == parts.len() { 0x80 } else { 0 };
                let rsv1 = if deflated && index == 0 { 0x40 } else { 0 };
                let opcode = if index > 0 {
                    0
                } else if is_text {
                    1
                } else {
                    2
                };
                bytes.extend(masked(fin | rsv1 | opcode, part));
                if ping {
                    bytes.extend(masked(0x89, b"ping"));
                }
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        bytes in conversation(), cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        places.sort_unstable();
        let mut pieces = Vec::new();
        let mut start = 0;
        for place in places {
            pieces.push(&bytes[start..place]);
            start = place;
        }
        pieces.push(&bytes[start..]);

        let (whole, fault) = read(&[&bytes], 10_000, true);

        prop_assert_eq!(fault, None);
        prop_assert!(!whole.is_empty());
        prop_assert_eq!(read(&pieces, 10_000, true), (whole, None));
    }

    #[test]
    fn random_bytes_neither_panic_nor_take_memory(
        bytes in vec(any::<u8>(), 0..400), masked_bit in any::<bool>(), deflate in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if masked_bit && bytes.len() > 1 {
            bytes[0] &= 0xcf;
            bytes[1] |= 0x80;
        }
        let mut parser = Parser::new(1000, deflate);
        let mut input = &bytes[..];
        while let Ok(Some(_)) = parser.next(&mut input) {}
        let held = parser.message.as_ref().map_or(0, |message| message.bytes.capacity());
        prop_assert!(held <= 2048, "{held}");
    }

    #[test]
    fn unmasking_in_parts_is_unmasking_at_once(
        bytes in vec(any::<u8>(), 0..100), mask in any::<[u8; 4]>(), at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(bytes.len() + 1);
        let expected: Vec<u8> =
            bytes.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        let mut parts = bytes;
        let (first, second) = parts.split_at_mut(at);
        let mut turning = mask;

        unmask(first, &mut turning);
        unmask(second, &mut turning);

        prop_assert_eq!(parts, expected);
    }
}
