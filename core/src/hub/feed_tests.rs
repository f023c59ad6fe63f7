use bytes::Bytes;

use super::*;
use crate::hub::broker::Draft;
use crate::hub::policy::Policy;
use crate::hub::tests::{open, plan};
use crate::hub::wire::Format;
use crate::plan;

fn namespace(change: impl FnOnce(&mut plan::Namespace)) -> Arc<Namespace> {
    let mut namespace = open("*");
    change(&mut namespace);
    let hub = plan::Hub { namespaces: vec![namespace], ..plan() };
    Arc::clone(Policy::build(&hub).unwrap().find("c").unwrap())
}

fn feed(namespace: &Namespace) -> Feed {
    Feed::new(Wire::plain(Format::Json), namespace)
}

fn seat() -> Arc<Seat> {
    Seat::new([127, 0, 0, 1].into(), None)
}

fn position(offset: u64) -> Position {
    Position { epoch: "e".into(), offset }
}

fn publish(feed: &mut Feed, offset: u64, key: Option<&str>) {
    let draft = Draft {
        data: Bytes::from(offset.to_string()),
        key: key.map(Into::into),
        ..Draft::default()
    };
    feed.push("c", &Publication { position: position(offset), timestamp_ms: 0, draft });
}

/// What a subscriber takes: the offsets of messages, and `-count` for those that it lost.
fn taken(feed: &mut Feed, key: usize) -> Vec<i64> {
    let mut given = Vec::new();
    while feed.take(key, 1, &mut given) {}
    let mut all = Vec::new();
    for one in given {
        match one {
            Given::Dropped(count, _) => all.push(-(count as i64)),
            Given::Frames(frames, count) => {
                let text = String::from_utf8_lossy(&frames).into_owned();
                let offsets: Vec<i64> = text
                    .split("\"offset\":")
                    .skip(1)
                    .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
                    .collect();
                assert_eq!(offsets.len() as u64, count);
                all.extend(offsets);
            }
        }
    }
    all
}

#[test]
fn everybody_gets_every_message_once_and_a_piece_goes_when_all_have_it() {
    let mut feed = feed(&namespace(|rules| rules.queue = 100));
    let first = feed.add(&seat(), 0, false, false);
    publish(&mut feed, 1, None);
    publish(&mut feed, 2, None);
    let second = feed.add(&seat(), 0, false, false);
    publish(&mut feed, 3, None);

    assert_eq!(taken(&mut feed, first), [1, 2, 3]);
    assert_eq!(feed.pieces.len(), 1);
    assert_eq!(taken(&mut feed, second), [3]);
    assert!(feed.pieces.is_empty() && feed.messages == 0 && feed.bytes == 0);
    assert_eq!(taken(&mut feed, first), [0_i64; 0]);
}

#[test]
fn who_is_too_slow_loses_the_oldest_and_is_told_how_many() {
    let mut feed = feed(&namespace(|rules| rules.queue = 4));
    let slow = feed.add(&seat(), 0, false, false);
    let quick = feed.add(&seat(), 0, false, false);

    let mut got = Vec::new();
    for offset in 1..=10 {
        publish(&mut feed, offset, None);
        got.extend(taken(&mut feed, quick));
    }

    assert_eq!(got, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(taken(&mut feed, slow), [-6, 7, 8, 9, 10]);
    assert!(feed.pieces.is_empty());
}

#[test]
fn who_is_too_slow_is_disconnected_where_the_policy_says_so() {
    let mut feed = feed(&namespace(|rules| {
        rules.queue = 2;
        rules.overflow = Overflow::Disconnect;
    }));
    let (slow, quick) = (seat(), seat());
    feed.add(&slow, 0, false, false);
    let key = feed.add(&quick, 0, false, false);

    for offset in 1..=3 {
        publish(&mut feed, offset, None);
        taken(&mut feed, key);
    }

    let order = |seat: &Seat| {
        let mut inbox = crate::hub::seat::Inbox::default();
        seat.open(&std::task::Context::from_waker(std::task::Waker::noop()), &mut inbox);
        inbox.order.map(|order| order.code)
    };
    assert_eq!((order(&slow), order(&quick)), (Some(4008), None));
}

#[test]
fn a_conflating_feed_keeps_the_newest_of_each_key_and_tells_the_holes() {
    let mut feed = feed(&namespace(|rules| rules.overflow = Overflow::Conflate));
    let slow = feed.add(&seat(), 0, false, false);

    for (offset, key) in [(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "c")] {
        publish(&mut feed, offset, Some(key));
    }

    assert_eq!(taken(&mut feed, slow), [-1, 2, -1, 4, 5]);
    assert_eq!(taken(&mut feed, slow), [0_i64; 0]);
    publish(&mut feed, 6, None);
    publish(&mut feed, 7, None);
    assert_eq!(taken(&mut feed, slow), [-1, 7]);
}

#[test]
fn a_conflating_feed_is_bounded_by_its_queue() {
    let mut feed = feed(&namespace(|rules| rules.overflow = Overflow::Conflate));
    let slow = feed.add(&seat(), 0, false, false);

    for offset in 1..=100 {
        publish(&mut feed, offset, Some(&offset.to_string()));
    }

    assert_eq!(feed.latest.len(), 4);
    assert_eq!(taken(&mut feed, slow), [-96, 97, 98, 99, 100]);
}

#[test]
fn a_held_subscriber_goes_on_after_the_place_that_it_has_from_elsewhere() {
    let mut feed = feed(&namespace(|rules| rules.queue = 100));
    let held = feed.add(&seat(), 0, false, true);
    for offset in 5..=9 {
        publish(&mut feed, offset, None);
    }
    assert_eq!(taken(&mut feed, held), [0_i64; 0]);

    feed.release(held, position(7));

    assert_eq!(taken(&mut feed, held), [8, 9]);
    publish(&mut feed, 10, None);
    assert_eq!(taken(&mut feed, held), [10]);
}

#[test]
fn who_leaves_with_pieces_unread_does_not_keep_them() {
    let mut feed = feed(&namespace(|rules| rules.queue = 100));
    let leaving = feed.add(&seat(), 0, false, false);
    let staying = feed.add(&seat(), 0, false, false);
    publish(&mut feed, 1, None);
    taken(&mut feed, staying);
    publish(&mut feed, 2, None);

    feed.remove(leaving);

    assert_eq!(feed.pieces.len(), 1);
    assert_eq!(taken(&mut feed, staying), [2]);
    assert!(feed.pieces.is_empty());
}

#[test]
fn a_new_epoch_begins_a_piece_of_its_own() {
    let mut feed = feed(&namespace(|rules| rules.queue = 100));
    let held = feed.add(&seat(), 0, false, true);
    publish(&mut feed, 1, None);
    let draft = Draft { data: Bytes::from_static(b"1"), ..Draft::default() };
    let other = Position { epoch: "f".into(), offset: 1 };
    feed.push("c", &Publication { position: other, timestamp_ms: 0, draft });

    feed.release(held, position(1));

    assert_eq!(taken(&mut feed, held), [1]);
}
