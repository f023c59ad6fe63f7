use proptest::prelude::*;

use super::*;

const PRIORITY: u8 = 2;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn opened() -> Frames {
    let mut frames = Frames::new(1);
    assert!(frames.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1));
    frames
}

/// A connection with a request on stream 1 whose response has begun.
fn responding(settings: &[u8]) -> Frames {
    let mut frames = opened();
    assert!(frames.received(&frame(SETTINGS, 0, 0, settings), 1));
    assert!(frames.received(&frame(HEADERS, 5, 1, b"x"), 1));
    frames.sent(&frame(HEADERS, 4, 1, b"y"), 1);
    frames
}

fn increment(by: u32, stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

const ZERO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

#[test]
fn every_flood_uses_the_budget_up() {
    let floods: [(&str, Vec<u8>); 10] = [
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("PING ACK", frame(6, ACK, 0, &[0; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS ACK", frame(SETTINGS, ACK, 0, &[])),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0; 5])),
        ("unknown", frame(0xbe, 0, 0, b"x")),
        ("WINDOW_UPDATE", increment(1_000, 1)),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("padding", frame(DATA, PADDED, 1, &[3, 0, 0, 0])),
        ("CONTINUATION", frame(CONTINUATION, 0, 1, &[])),
    ];
    for (name, one) in floods {
        let mut frames = responding(&[]);
        let passed = (0..10_000).take_while(|_| frames.received(&one, 1)).count();
        assert!((100..2_000).contains(&passed), "{name}: {passed}");
    }
}

#[test]
fn requests_that_are_reset_at_once_use_the_budget_up() {
    let mut frames = opened();
    let reset = |frames: &mut Frames, stream| {
        frames.received(&frame(HEADERS, 5, stream, b"x"), 1)
            && frames.received(&frame(RST_STREAM, 0, stream, &[0; 4]), 1)
    };

    let passed = (0..10_000).take_while(|n| reset(&mut frames, 2 * n + 1)).count();

    assert!((100..1_000).contains(&passed), "{passed}");
}

#[test]
fn windows_of_one_byte_use_the_budget_up() {
    let mut frames = responding(&ZERO_WINDOW);
    let step = |frames: &mut Frames| {
        let passed = frames.received(&increment(1, 1), 1);
        frames.sent(&frame(DATA, 0, 1, b"z"), 1);
        passed
    };

    let passed = (0..10_000).take_while(|_| step(&mut frames)).count();

    assert!((100..1_000).contains(&passed), "{passed}");
}

#[test]
fn a_client_that_makes_requests_and_reads_never_uses_it_up() {
    let mut frames = opened();
    for number in 0..20_000 {
        let stream = 2 * number + 1;
        assert!(frames.received(&frame(HEADERS, 5, stream, b"x"), 1));
        assert!(frames.received(&frame(PRIORITY, 0, stream, &[0; 5]), 1));
        frames.sent(&frame(HEADERS, 4, stream, b"y"), 1);
        for _ in 0..4 {
            frames.sent(&frame(DATA, 0, stream, &[0; 512]), 1);
            assert!(frames.received(&increment(512, stream), 1));
            assert!(frames.received(&increment(512, 0), 1));
        }
        frames.sent(&frame(DATA, END_STREAM, stream, b"z"), 1);
        assert!(frames.received(&increment(1, 0), 1));
    }
    assert!(!frames.is_responding());
    assert!(frames.streams.is_empty());
}

#[test]
fn a_response_with_an_empty_window_is_blocked_after_its_time() {
    let mut frames = responding(&ZERO_WINDOW);

    assert_eq!(frames.blocked(1_000, 500), None);
    assert_eq!(frames.blocked(1_500, 500), None);
    assert_eq!(frames.blocked(1_501, 500), Some(Blocked::All));
    assert!(frames.received(&increment(100, 1), 1));
    assert_eq!(frames.blocked(1_600, 500), None);
}

#[test]
fn bytes_that_trickle_are_no_progress() {
    let mut frames = responding(&ZERO_WINDOW);
    assert_eq!(frames.blocked(1_000, 500), None);
    assert!(frames.received(&increment(10, 1), 1));
    frames.sent(&frame(DATA, 0, 1, &[0; 10]), 1);

    assert_eq!(frames.blocked(1_501, 500), Some(Blocked::All));

    assert!(frames.received(&increment(8_192, 1), 1));
    frames.sent(&frame(DATA, 0, 1, &[0; 8_192]), 1);
    assert_eq!(frames.blocked(1_600, 500), None);
}

#[test]
fn one_blocked_stream_is_told_apart_from_all_until_it_was_blocked_for_twice_the_time() {
    let mut frames = responding(&ZERO_WINDOW);
    assert!(frames.received(&frame(HEADERS, 5, 3, b"x"), 1));
    frames.sent(&frame(HEADERS, 4, 3, b"y"), 1);
    assert!(frames.received(&increment(1_000, 3), 1));

    assert_eq!(frames.blocked(1_000, 500), None);
    assert_eq!(frames.blocked(1_600, 500), Some(Blocked::Some));
    assert_eq!(frames.blocked(2_001, 500), Some(Blocked::All));
}

#[test]
fn a_response_that_empties_its_window_at_the_moment_is_not_blocked() {
    let mut frames = responding(&ZERO_WINDOW);
    assert!(frames.received(&frame(HEADERS, 5, 3, b"x"), 1));
    frames.sent(&frame(HEADERS, 4, 3, b"y"), 1);
    for now in [1_000, 1_100, 1_600, 1_900] {
        assert!(frames.received(&increment(8_192, 3), now));
        frames.sent(&frame(DATA, 0, 3, &[0; 8_192]), now);
        let blocked = (now >= 1_600).then_some(Blocked::Some);
        assert_eq!(frames.blocked(now, 500), blocked, "{now}");
    }
}

#[test]
fn the_window_of_the_connection_blocks_all_and_what_has_ended_blocks_nothing() {
    let mut frames = responding(&[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    for _ in 0..5 {
        frames.sent(&frame(DATA, 0, 1, &[0; 13_107]), 1);
    }
    assert_eq!(frames.blocked(1_000, 500), None);
    assert_eq!(frames.blocked(1_501, 500), Some(Blocked::All));

    frames.sent(&frame(DATA, END_STREAM, 1, &[]), 1);

    assert_eq!(frames.blocked(9_000, 500), None);
}

proptest! {
    #[test]
    fn frames_are_found_however_the_bytes_are_cut(
        cuts in proptest::collection::vec(1_usize..20, 1..80),
        payloads in proptest::collection::vec((0_u8..12, any::<u8>(), 0_usize..40), 1..20),
    ) {
        let mut bytes = vec![0; PREFACE_BYTES];
        for (kind, flags, length) in &payloads {
            bytes.extend(frame(*kind, *flags, 1, &vec![0; *length]));
        }
        let mut reader = Reader::new(PREFACE_BYTES);
        let (mut rest, mut heads, mut cuts) = (&bytes[..], Vec::new(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (mut now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            while let Some(part) = reader.next(&mut now) {
                if let Part::Head(head) = part {
                    heads.push((head.kind, head.flags, head.length as usize));
                }
            }
            rest = later;
        }
        prop_assert_eq!(heads, payloads);
        prop_assert!(reader.is_between_frames());
    }

    #[test]
    fn no_bytes_make_it_panic(
        received in proptest::collection::vec(any::<u8>(), 0..600),
        sent in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut frames = opened();
        let _ = frames.received(&received, 5);
        frames.sent(&sent, 6);
        let _ = frames.blocked(7, 1);
    }
}
