use bytes::Bytes;

use super::*;
use crate::hub::policy::Policy;
use crate::hub::tests::{open, plan};
use crate::hub::wire::Format;
use crate::plan;

fn channel(history: u32, age_ms: u64) -> Arc<Channel> {
    channel_in(&Arc::default(), history, age_ms)
}

fn channel_in(rounds: &Arc<Rounds>, history: u32, age_ms: u64) -> Arc<Channel> {
    let namespace = plan::Namespace { history, history_ms: age_ms, ..open("*") };
    let policy = Policy::build(&plan::Hub { namespaces: vec![namespace], ..plan() }).unwrap();
    let namespace = Arc::clone(policy.find("c").unwrap());
    Arc::new(Channel::new("c".into(), namespace, Arc::clone(rounds)))
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

/// Subscribers of a channel whose rounds go on while a future is awaited.
struct Audience {
    channel: Arc<Channel>,
    kept: Kept,
    keys: Vec<Key>,
    seats: Vec<Arc<Seat>>,
}

impl Audience {
    fn gathered(count: usize, test: impl AsyncFnOnce(Self)) {
        let rounds = Arc::new(Rounds::default());
        let channel = channel_in(&rounds, 0, 0);
        let kept = Kept::new(0);
        let seats: Vec<_> = (0..count).map(|_| Seat::new([127, 0, 0, 1].into(), None)).collect();
        let keys = seats.iter().map(|seat| {
            let wire = Wire::plain(Format::Json);
            let who = Subscribing { seat, slot: 0, wire, presence: false, held: false };
            channel.subscribe(&who, None, &kept).ok().unwrap().key
        });
        let audience = Self { keys: keys.collect(), channel, kept, seats };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let _running = tokio::spawn(rounds.run());
            tokio::task::yield_now().await;
            test(audience).await;
        });
    }

    fn publish(&self) -> Option<u64> {
        publish(&self.channel, &self.kept, 1);
        self.channel.wake()
    }

    /// Lets those who were woken take what there is: who they are.
    fn served(&self) -> Vec<usize> {
        let context = Context::from_waker(Waker::noop());
        let mut served = Vec::new();
        for (number, seat) in self.seats.iter().enumerate() {
            let mut inbox = crate::hub::seat::Inbox::default();
            seat.open(&context, &mut inbox);
            if !inbox.ready.is_empty() {
                self.channel.take(self.keys[number], usize::MAX, &mut Vec::new());
                served.push(number);
            }
        }
        served
    }
}

#[test]
fn many_are_woken_a_portion_at_a_time_and_others_have_their_turn_in_between() {
    Audience::gathered(3 * PORTION + 1, async |all| {
        let end = all.publish().unwrap();
        let mut portions = vec![all.served().len()];
        while !all.channel.has_passed(end) {
            tokio::task::yield_now().await;
            portions.push(all.served().len());
        }

        assert_eq!(portions, [PORTION, PORTION, PORTION, 1]);
    });
}

#[test]
fn few_are_woken_at_once() {
    Audience::gathered(PORTION - 1, async |all| {
        assert_eq!(all.publish(), None);
        assert_eq!(all.served().len(), PORTION - 1);
    });
}

#[test]
fn a_message_in_the_middle_of_a_round_reaches_all_from_where_the_round_is() {
    Audience::gathered(2 * PORTION, async |all| {
        all.publish();
        let first = all.served();
        all.publish();
        let mut later = Vec::new();
        for _ in 0..4 {
            tokio::task::yield_now().await;
            later.extend(all.served());
        }

        assert!(first.into_iter().eq(0..PORTION));
        assert!(later.into_iter().eq((PORTION..2 * PORTION).chain(0..PORTION)));
    });
}

#[test]
fn who_publishes_much_waits_until_all_are_woken() {
    Audience::gathered(3 * PORTION, async |all| {
        let end = all.publish().unwrap();
        let before = all.channel.has_passed(end);
        std::future::poll_fn(|context| all.channel.poll_passed(end, context)).await;

        assert!(!before);
        assert_eq!(all.served().len(), 3 * PORTION);
    });
}

#[test]
fn a_round_ends_with_those_who_leave_in_it() {
    Audience::gathered(3 * PORTION, async |all| {
        let end = all.publish().unwrap();
        for key in &all.keys {
            all.channel.unsubscribe(*key);
        }
        std::future::poll_fn(|context| all.channel.poll_passed(end, context)).await;

        assert_eq!(all.publish(), None);
    });
}
