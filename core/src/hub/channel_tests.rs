use bytes::Bytes;

use super::*;
use crate::hub::policy::Policy;
use crate::hub::tests::{open, plan};
use crate::hub::wire::Format;
use crate::plan;

fn channel(history: u32, age_ms: u64) -> Channel {
    let namespace = plan::Namespace { history, history_ms: age_ms, ..open("*") };
    let policy = Policy::build(&plan::Hub { namespaces: vec![namespace], ..plan() }).unwrap();
    Channel::new("c".into(), Arc::clone(policy.find("c").unwrap()))
}

fn publish(channel: &Channel, kept: &Kept, count: usize) -> Position {
    let draft = || Draft { data: Bytes::from_static(b"1"), ..Draft::default() };
    let all: Vec<_> = (0..count).map(|_| channel.publish(draft(), kept).ok().unwrap()).collect();
    all.last().cloned().unwrap()
}

fn missed(channel: &Channel, kept: &Kept, since: &Position) -> Option<Vec<u64>> {
    let seat = Seat::new([127, 0, 0, 1].into(), None);
    let wire = Wire::plain(Format::Json);
    let who = Subscribing { seat: &seat, slot: 0, wire, presence: false, held: false };
    let entered = channel.subscribe(&who, Some(since), kept).ok().unwrap();
    channel.unsubscribe(entered.key);
    entered.missed.map(|all| all.iter().map(|one| one.position.offset).collect())
}

#[test]
fn offsets_rise_by_one_and_what_was_missed_is_recovered() {
    let (channel, kept) = (channel(10, 60_000), Kept::new(1 << 20));
    let third = publish(&channel, &kept, 3);
    publish(&channel, &kept, 4);

    assert_eq!(third.offset, 3);
    assert_eq!(missed(&channel, &kept, &third), Some(vec![4, 5, 6, 7]));
    assert_eq!(missed(&channel, &kept, &Position { offset: 7, ..third.clone() }), Some(vec![]));
}

#[test]
fn a_loss_is_told_where_less_is_kept_than_was_missed() {
    let (channel, kept) = (channel(3, 60_000), Kept::new(1 << 20));
    let first = publish(&channel, &kept, 1);
    publish(&channel, &kept, 4);

    assert_eq!(missed(&channel, &kept, &first), None);
    assert_eq!(
        missed(&channel, &kept, &Position { offset: 2, ..first.clone() }),
        Some(vec![3, 4, 5])
    );
    assert_eq!(missed(&channel, &kept, &Position { offset: 9, ..first.clone() }), None);
    assert_eq!(missed(&channel, &kept, &Position { epoch: "x".into(), offset: 5 }), None);
}

#[test]
fn all_histories_together_are_bounded() {
    let (channel, kept) = (channel(1000, 60_000), Kept::new(5 * OVERHEAD as u64 + 10));

    publish(&channel, &kept, 100);

    let history = channel.history(None, 1000, &kept);
    assert_eq!(history.items.len(), 5);
    assert_eq!(history.newest.offset, 100);
    assert!(!kept.is_over());
}

#[test]
fn what_is_too_old_is_forgotten_and_the_channel_retires_when_nobody_uses_it() {
    let (channel, kept) = (channel(10, 0), Kept::new(1 << 20));
    let now = clock::now_millis();
    let place = publish(&channel, &kept, 1);

    assert!(!channel.retire(now + 1000, &kept));
    assert_eq!(missed(&channel, &kept, &Position { offset: 0, ..place }), None);
    assert!(channel.retire(now + REMEMBERED + 10_000, &kept));
    let draft = Draft { data: Bytes::from_static(b"1"), ..Draft::default() };
    assert!(channel.publish(draft, &kept).is_err());
}
