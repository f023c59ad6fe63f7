//! The broker over a real Redis: two replicas, one server, and what goes wrong between them.
#![allow(missing_docs, clippy::expect_used)]

mod redis_server;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_core::hub::broker::{
    Broker, BrokerError, Disconnect, Draft, Event, History, Keep, Member, Position,
};
use nexus_core::hub::redis::{Options, Redis};
use nexus_core::identity::{Realm, Revocation, Revoked};
use redis_server::{Server, Way};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const KEEP: Keep = Keep { messages: 1000, age_ms: 60_000 };

/// One replica.
struct Replica {
    broker: Arc<Redis>,
    events: Receiver<Event>,
}

impl Replica {
    fn new(url: &str) -> Self {
        let mut options = Options::new(url).expect("a URL");
        options.patience = Duration::from_millis(400);
        options.lease = Duration::from_millis(900);
        Self::with(options)
    }

    fn with(options: Options) -> Self {
        let (broker, events) = Redis::start(options, Box::new(|_, _| {}), &Handle::current());
        Self { broker, events }
    }

    /// A replica whose events of a channel flow.
    async fn following(url: &str, channel: &Arc<str>) -> Self {
        let replica = Self::new(url);
        replica.broker.subscribe(channel);
        replica.newest(channel).await;
        replica
    }

    async fn next(&mut self) -> Event {
        timeout(SOON, self.events.recv()).await.expect("an event in time").expect("an event")
    }

    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn publish(&self, channel: &Arc<str>, data: &str) -> Result<Position, BrokerError> {
        self.broker.publish(channel, draft(data), KEEP).await
    }

    async fn history(&self, channel: &Arc<str>, after: Option<Position>, limit: u32) -> History {
        self.broker.history(channel, after, limit).await.expect("history")
    }

    async fn newest(&self, channel: &Arc<str>) -> Position {
        self.history(channel, None, 0).await.newest
    }

    async fn present(&self, channel: &Arc<str>) -> BTreeSet<String> {
        let members = self.broker.presence(channel).await.expect("presence");
        members.iter().map(|member| member.connection.to_string()).collect()
    }
}

fn draft(data: &str) -> Draft {
    Draft { data: data.to_owned().into(), ..Draft::default() }
}

fn channel(name: &str) -> Arc<str> {
    name.into()
}

fn member(connection: &str) -> Member {
    Member { connection: connection.into(), subject: "ada".into() }
}

fn data(event: &Event) -> String {
    match event {
        Event::Publication { publication, .. } => {
            String::from_utf8(publication.draft.data.to_vec()).expect("text")
        }
        other => format!("{other:?}"),
    }
}

fn items(history: &History) -> Vec<String> {
    let text = |item: &nexus_core::hub::broker::Publication| {
        String::from_utf8(item.draft.data.to_vec()).expect("text")
    };
    history.items.iter().map(text).collect()
}

/// Polls until it is so.
async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

macro_rules! server {
    ($($argument:expr),*) => {
        match Server::start(&[$($argument),*]) {
            Some(server) => server,
            None => return,
        }
    };
}

// === sharing ===

#[tokio::test]
async fn two_replicas_deliver_what_both_publish_in_one_order() {
    let server = server!();
    let room = channel("room");
    let mut first = Replica::following(&server.url(), &room).await;
    let mut second = Replica::following(&server.url(), &room).await;

    let publish = |replica: &Replica, name: &str| {
        let all =
            (0..200).map(|n| replica.broker.publish(&room, draft(&format!("\"{name}{n}\"")), KEEP));
        let all: Vec<_> = all.collect();
        tokio::spawn(async move {
            for one in all {
                one.await.expect("published");
            }
        })
    };
    let (a, b) = (publish(&first, "a"), publish(&second, "b"));
    let mut seen = [Vec::new(), Vec::new()];
    for expected in 1..=400 {
        for (replica, seen) in [&mut first, &mut second].into_iter().zip(&mut seen) {
            let event = replica.next().await;
            let Event::Publication { publication, .. } = &event else { panic!("{event:?}") };
            assert_eq!(publication.position.offset, expected);
            seen.push(data(&event));
        }
    }
    a.await.expect("a");
    b.await.expect("b");

    assert_eq!(seen[0], seen[1]);
    let own: Vec<_> = seen[0].iter().filter(|text| text.starts_with("\"a")).cloned().collect();
    assert_eq!(own, (0..200).map(|n| format!("\"a{n}\"")).collect::<Vec<_>>());
}

#[tokio::test]
async fn everything_about_a_message_reaches_the_other_replica() {
    let server = server!();
    let room = channel("room");
    let first = Replica::following(&server.url(), &room).await;
    let mut second = Replica::following(&server.url(), &room).await;
    let sent = Draft {
        data: "{\"a\":\"line\\nfeed\"}".into(),
        key: Some("k\n\"".into()),
        publisher: Some("ada".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };

    let position = first.broker.publish(&room, sent.clone(), KEEP).await.expect("published");

    let Event::Publication { channel, publication } = second.next().await else { panic!() };
    assert_eq!((channel, publication.position.clone()), (room.clone(), position));
    assert_eq!(publication.draft, sent);
    assert!(publication.timestamp_ms > 1_700_000_000_000);
    assert_eq!(second.history(&room, None, 10).await.items, [publication]);
}

#[tokio::test]
async fn a_channel_that_is_not_wanted_is_not_heard() {
    let server = server!();
    let (room, other) = (channel("room"), channel("other"));
    let mut replica = Replica::following(&server.url(), &room).await;
    replica.broker.subscribe(&other);
    replica.newest(&other).await;
    replica.broker.unsubscribe(&room);
    let mut raw = server.client().await;
    eventually("unsubscribed", || {
        let mut raw = raw.clone();
        async move {
            let (_, heard): (String, u32) = redis::cmd("PUBSUB")
                .arg("NUMSUB")
                .arg("nexus:0:{room}:events")
                .query_async(&mut raw)
                .await
                .expect("an answer");
            heard == 0
        }
    })
    .await;
    let _: () = redis::cmd("PING").exec_async(&mut raw).await.expect("pong");

    replica.publish(&room, "1").await.expect("published");
    replica.publish(&other, "2").await.expect("published");

    assert_eq!(data(&replica.next().await), "2");
}

// === history ===

#[tokio::test]
async fn what_was_missed_is_given_or_said_to_be_lost() {
    let server = server!();
    let room = channel("room");
    let replica = Replica::new(&server.url());
    let keep = Keep { messages: 5, age_ms: 60_000 };
    let mut places = Vec::new();
    for number in 1..=8 {
        let place = replica.broker.publish(&room, draft(&number.to_string()), keep).await;
        places.push(place.expect("published"));
    }

    let recovered = replica.history(&room, Some(places[3].clone()), 100).await;
    let partly = replica.history(&room, Some(places[1].clone()), 100).await;
    let page = replica.history(&room, Some(places[3].clone()), 2).await;
    let elsewhere = Position { epoch: "another".into(), offset: 4 };
    let strange = replica.history(&room, Some(elsewhere), 2).await;
    let nothing = replica.history(&room, Some(places[7].clone()), 10).await;
    let ahead = Position { offset: 99, ..places[7].clone() };

    assert_eq!(
        (items(&recovered), recovered.complete),
        (vec!["5".into(), "6".into(), "7".into(), "8".into()], true)
    );
    assert_eq!((items(&partly).len(), partly.complete), (5, false));
    assert_eq!((items(&page), page.complete), (vec!["5".into(), "6".into()], true));
    assert_eq!((items(&strange), strange.complete), (vec!["7".into(), "8".into()], false));
    assert_eq!((items(&nothing).len(), nothing.complete), (0, true));
    assert!(!replica.history(&room, Some(ahead), 10).await.complete);
    assert_eq!(recovered.newest, places[7]);
}

#[tokio::test]
async fn what_is_too_old_is_not_given() {
    let server = server!();
    let room = channel("room");
    let replica = Replica::new(&server.url());
    let keep = Keep { messages: 100, age_ms: 300 };
    let first = replica.broker.publish(&room, draft("1"), keep).await.expect("published");
    assert_eq!(items(&replica.history(&room, None, 9).await), ["1"]);

    eventually("aged out", || async {
        replica.broker.publish(&room, draft("2"), keep).await.expect("published");
        !items(&replica.history(&room, None, 1000).await).contains(&"1".into())
    })
    .await;

    let before = Position { offset: 0, ..first };
    assert!(!replica.history(&room, Some(before), 1000).await.complete);
}

#[tokio::test]
async fn a_channel_without_history_still_counts() {
    let server = server!();
    let room = channel("room");
    let mut replica = Replica::following(&server.url(), &room).await;
    let none = Keep { messages: 0, age_ms: 0 };

    let first = replica.broker.publish(&room, draft("1"), none).await.expect("published");
    replica.broker.publish(&room, draft("2"), none).await.expect("published");

    assert_eq!(data(&replica.next().await), "1");
    assert_eq!(data(&replica.next().await), "2");
    let history = replica.history(&room, Some(first), 10).await;
    assert_eq!((history.items.len(), history.complete, history.newest.offset), (0, false, 2));
}

#[tokio::test]
async fn a_flushed_server_gives_another_epoch_and_it_is_told() {
    let server = server!();
    let room = channel("room");
    let mut replica = Replica::following(&server.url(), &room).await;
    let before = replica.publish(&room, "1").await.expect("published");
    replica.next().await;

    let _: () =
        redis::cmd("FLUSHALL").exec_async(&mut server.client().await).await.expect("flushed");
    let after = replica.publish(&room, "2").await.expect("published");

    assert_ne!(before.epoch, after.epoch);
    assert_eq!(after.offset, 1);
    let Event::Missed { count: None, position, .. } = replica.next().await else { panic!() };
    assert_eq!(position, Position { offset: 0, ..after });
    assert_eq!(data(&replica.next().await), "2");
    assert!(!replica.history(&room, Some(before), 10).await.complete);
}

// === what breaks ===

#[tokio::test]
async fn messages_of_a_broken_connection_are_filled_from_history() {
    let server = server!();
    let room = channel("room");
    let way = Way::to(server.port).await;
    let writer = Replica::new(&server.url());
    let mut reader = Replica::following(&way.url(), &room).await;
    for number in 1..=300 {
        writer.publish(&room, &number.to_string()).await.expect("published");
        if number % 100 == 50 {
            way.cut();
        } else if number % 100 == 80 {
            way.mend();
        }
    }

    for number in 1..=300 {
        let event = reader.until(|event| !matches!(event, Event::Away | Event::Back)).await;
        assert_eq!(data(&event), number.to_string());
    }
}

#[tokio::test]
async fn messages_that_no_history_has_are_told_as_missed() {
    let server = server!();
    let room = channel("room");
    let way = Way::to(server.port).await;
    let writer = Replica::new(&server.url());
    let mut reader = Replica::following(&way.url(), &room).await;
    let keep = Keep { messages: 5, age_ms: 60_000 };
    writer.broker.publish(&room, draft("1"), keep).await.expect("published");
    assert_eq!(data(&reader.next().await), "1");

    way.cut();
    eventually("cut", || async { !reader.broker.is_up() }).await;
    for number in 2..=20 {
        writer.broker.publish(&room, draft(&number.to_string()), keep).await.expect("published");
    }
    way.mend();

    let missed = reader.until(|event| !matches!(event, Event::Away)).await;
    let Event::Missed { count, position, .. } = missed else { panic!("{missed:?}") };
    assert_eq!((count, position.offset), (Some(14), 15));
    for number in 16..=20 {
        assert_eq!(data(&reader.next().await), number.to_string());
    }
}

/// Kills the server, starts it again, and checks that nobody is left with a hole that was not told.
async fn a_killed_server_leaves_no_silent_hole(arguments: &[&str]) {
    let Some(mut server) = Server::start(arguments) else { return };
    let room = channel("room");
    let mut replica = Replica::following(&server.url(), &room).await;
    let before = replica.publish(&room, "1").await.expect("published");
    assert_eq!(data(&replica.next().await), "1");

    server.kill();
    replica.until(|event| *event == Event::Away).await;
    let begun = Instant::now();
    assert_eq!(replica.publish(&room, "lost").await, Err(BrokerError::Away));
    assert!(replica.broker.history(&room, None, 1).await.is_err());
    assert!(begun.elapsed() < Duration::from_millis(200), "away is said at once");
    assert!(replica.broker.problem().is_some());
    server.restart();

    let missed = replica.next().await;
    let Event::Missed { count: None, position, .. } = &missed else { panic!("{missed:?}") };
    assert_ne!(position.epoch, before.epoch);
    assert_eq!(replica.next().await, Event::Back);
    let after = replica.publish(&room, "2").await.expect("published");
    assert_eq!(after, Position { epoch: position.epoch.clone(), offset: 1 });
    assert_eq!(data(&replica.next().await), "2");
    assert!(!replica.history(&room, Some(before), 10).await.complete);
    assert!(replica.broker.is_up() && replica.broker.problem().is_none());
}

#[tokio::test]
async fn a_killed_server_that_keeps_nothing_leaves_no_silent_hole() {
    a_killed_server_leaves_no_silent_hole(&[]).await;
}

#[tokio::test]
async fn a_killed_server_that_keeps_a_file_leaves_no_silent_hole() {
    a_killed_server_leaves_no_silent_hole(&["--appendonly", "yes", "--appendfsync", "always"])
        .await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_within_the_deadlines() {
    let server = server!();
    let room = channel("room");
    let mut options = Options::new(&server.url()).expect("a URL");
    options.patience = Duration::from_millis(300);
    options.timeout = Duration::from_millis(300);
    let mut replica = Replica::with(options);
    replica.publish(&room, "1").await.expect("published");
    server.hang(true);

    eventually("no answer", || async {
        let begun = Instant::now();
        let refused = replica.publish(&room, "2").await.is_err();
        assert!(begun.elapsed() < Duration::from_secs(2));
        refused
    })
    .await;

    replica.until(|event| *event == Event::Away).await;
    server.hang(false);
    replica.until(|event| *event == Event::Back).await;
    replica.publish(&room, "3").await.expect("published");
}

#[tokio::test]
async fn what_waits_for_a_server_is_bounded() {
    let mut options = Options::new("redis://127.0.0.1:1/0").expect("a URL");
    options.patience = Duration::from_secs(1);
    let replica = Replica::with(options);
    let room = channel("room");

    let waiting: Vec<_> =
        (0..20_000).map(|_| replica.broker.publish(&room, draft("1"), KEEP)).collect();
    let mut refused = BTreeSet::new();
    for one in waiting {
        refused.insert(format!("{:?}", one.await.expect_err("there is no server")));
    }

    assert_eq!(refused, ["Away".to_owned(), "Busy".to_owned()].into());
    let large = "x".repeat(8 << 20);
    let large: Vec<_> =
        (0..9).map(|_| replica.broker.publish(&room, draft(&large), KEEP)).collect();
    let last = large.into_iter().next_back().expect("nine");
    assert_eq!(last.await, Err(BrokerError::Busy));
}

#[tokio::test]
async fn a_server_that_forgets_the_scripts_is_taught_them_again() {
    let server = server!();
    let room = channel("room");
    let replica = Replica::new(&server.url());
    replica.publish(&room, "1").await.expect("published");

    let flush = redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut server.client().await).await;
    flush.expect("flushed");

    assert_eq!(replica.publish(&room, "2").await.expect("published").offset, 2);
}

#[tokio::test]
async fn a_server_that_refuses_writes_is_as_good_as_away() {
    let server = server!("--maxmemory", "1mb", "--maxmemory-policy", "noeviction");
    let replica = Replica::new(&server.url());
    let room = channel("room");
    let large = format!("\"{}\"", "x".repeat(64 << 10));

    let mut refused = Ok(());
    for _ in 0..64 {
        refused = replica.publish(&room, &large).await.map(drop);
        if refused.is_err() {
            break;
        }
    }

    assert!(matches!(refused, Err(BrokerError::Away)), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_password_is_a_problem_that_shows_no_password() {
    let server = server!("--requirepass", "right-password");
    let url = format!("redis://:wrong-password@127.0.0.1:{}/0", server.port);
    let mut replica = Replica::new(&url);

    assert_eq!(replica.next().await, Event::Away);

    let problem = replica.broker.problem().expect("a problem");
    assert!(!problem.contains("password@") && !problem.contains("wrong-"), "{problem}");
    let right = format!("redis://:right-password@127.0.0.1:{}/2", server.port);
    Replica::new(&right).publish(&channel("room"), "1").await.expect("published");
}

// === presence ===

#[tokio::test]
async fn members_of_all_replicas_are_seen_by_all() {
    let server = server!();
    let room = channel("room");
    let first = Replica::following(&server.url(), &room).await;
    let mut second = Replica::following(&server.url(), &room).await;

    first.broker.join(&room, member("a1"));
    let joined = second.next().await;
    second.broker.join(&room, member("b1"));
    second.next().await;

    assert_eq!(joined, Event::Join { channel: room.clone(), member: member("a1") });
    assert_eq!(first.present(&room).await, ["a1".to_owned(), "b1".to_owned()].into());
    first.broker.leave(&room, "a1");
    assert_eq!(second.next().await, Event::Leave { channel: room.clone(), member: member("a1") });
    assert_eq!(second.present(&room).await, ["b1".to_owned()].into());
}

#[tokio::test]
async fn members_of_a_dead_replica_leave_once_within_the_lease() {
    let server = server!();
    let room = channel("room");
    let way = Way::to(server.port).await;
    let dead = Replica::following(&way.url(), &room).await;
    let mut second = Replica::following(&server.url(), &room).await;
    let third = Replica::following(&server.url(), &room).await;
    dead.broker.join(&room, member("a1"));
    dead.broker.join(&room, member("a2"));
    third.broker.join(&room, member("c1"));
    for _ in 0..3 {
        second.next().await;
    }

    way.cut();
    drop(dead);
    let died = Instant::now();
    let mut left = BTreeSet::new();
    for _ in 0..2 {
        let Event::Leave { member, .. } = second.next().await else { panic!() };
        left.insert(member.connection.to_string());
    }

    assert!(died.elapsed() < Duration::from_millis(2_500), "{:?}", died.elapsed());
    assert_eq!(left, ["a1".to_owned(), "a2".to_owned()].into());
    assert_eq!(second.present(&room).await, ["c1".to_owned()].into());
    third.publish(&room, "1").await.expect("published");
    assert_eq!(data(&second.next().await), "1", "each left once");
}

#[tokio::test]
async fn members_that_were_taken_for_dead_come_back() {
    let server = server!();
    let room = channel("room");
    let way = Way::to(server.port).await;
    let slow = Replica::following(&way.url(), &room).await;
    let mut other = Replica::following(&server.url(), &room).await;
    slow.broker.join(&room, member("a1"));
    slow.broker.join(&room, member("a2"));
    other.next().await;
    other.next().await;

    way.cut();
    other.until(|event| matches!(event, Event::Leave { .. })).await;
    other.until(|event| matches!(event, Event::Leave { .. })).await;
    slow.broker.leave(&room, "a2");
    way.mend();

    let back = other.next().await;
    assert_eq!(back, Event::Join { channel: room.clone(), member: member("a1") });
    assert_eq!(other.present(&room).await, ["a1".to_owned()].into());
    let _: () =
        redis::cmd("FLUSHALL").exec_async(&mut server.client().await).await.expect("flushed");
    assert_eq!(other.next().await, Event::Join { channel: room.clone(), member: member("a1") });
}

// === revocations ===

#[tokio::test]
async fn a_revocation_reaches_those_that_are_there_and_those_that_come_later() {
    let server = server!();
    let way = Way::to(server.port).await;
    let mut first = Replica::new(&way.url());
    let mut second = Replica::new(&server.url());
    first.newest(&channel("x")).await;
    second.newest(&channel("x")).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let token = Revocation {
        of: Revoked::Token("t\"1".into()),
        realm: Realm::Tenant("a:b".into()),
        expires: now + 60,
    };
    let subject = Revoked::Subject { subject: "eve".into(), before: now };
    let subject = Revocation { of: subject, realm: Realm::NoTenant, expires: now + 60 };
    let over =
        Revocation { of: Revoked::Token("old".into()), realm: Realm::Everyone, expires: now - 5 };

    second.broker.revoke(over);
    second.broker.revoke(token.clone());
    assert_eq!(
        first.until(|event| *event == Event::Revoked(token.clone())).await,
        Event::Revoked(token.clone())
    );
    way.cut();
    first.until(|event| *event == Event::Away).await;
    first.broker.revoke(subject.clone());
    way.mend();

    second.until(|event| *event == Event::Revoked(subject.clone())).await;
    let mut late = Replica::new(&server.url());
    let told =
        BTreeSet::from([format!("{:?}", late.next().await), format!("{:?}", late.next().await)]);
    let expected = [token, subject].map(|one| format!("{:?}", Event::Revoked(one)));
    assert_eq!(told, expected.into());
    let sockets = Disconnect {
        realm: Realm::Everyone,
        subject: Some("eve".into()),
        connection: None,
        code: 4009,
        reason: "moved".into(),
    };
    late.broker.disconnect(sockets.clone());
    assert_eq!(
        second.until(|event| matches!(event, Event::Disconnect(_))).await,
        Event::Disconnect(sockets)
    );
}

// === what nobody may believe ===

#[tokio::test]
async fn names_and_data_reach_nothing_but_their_channel() {
    let server = server!();
    let names = ["a}:stream", "{b}", "c\r\nFLUSHALL\r\n", "d ' .. os.exit()", "é%7D", " ", "*"];
    let data = "\"\\u0000'); redis.call('FLUSHALL') --\\n p x 1\"";
    for name in names {
        let room = channel(name);
        let mut replica = Replica::following(&server.url(), &room).await;

        let position = replica.publish(&room, data).await.expect("published");

        assert_eq!(position.offset, 1);
        let Event::Publication { channel, publication } = replica.next().await else { panic!() };
        assert_eq!((channel, &publication.draft.data[..]), (room.clone(), data.as_bytes()));
        replica.broker.join(&room, member("x 1\nj {}"));
        eventually("joined", || async { replica.present(&room).await.contains("x 1\nj {}") }).await;
    }
    let mut raw = server.client().await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut raw).await.expect("keys");
    // Each replica has one key of its own, by which it notices that the server has lost its data.
    let keys: Vec<_> = keys.iter().filter(|key| !key.starts_with("nexus:0:replica:")).collect();
    assert!(keys.iter().all(|key| key.starts_with("nexus:0:{")), "{keys:?}");
    assert_eq!(keys.len(), names.len() * 4);
}

#[tokio::test]
async fn what_a_stranger_writes_is_not_believed() {
    let server = server!();
    let room = channel("room");
    let mut replica = Replica::following(&server.url(), &room).await;
    let mut raw = server.client().await;
    let garbage: [&[u8]; 12] = [
        b"",
        b"p",
        b"p ",
        b"p e 1 1\n",
        b"p e 1 1\n{}\n",
        b"p e 1 1\n{}\n{\"open\":",
        b"p e -1 1\n{}\n1",
        b"p \xff 1 1\n{}\n1",
        b"p e 1 1\n{\"x\":1}\n1",
        b"j {\"connection\":1}",
        b"l",
        b"z\xf0\x28",
    ];
    for payload in garbage {
        for to in ["nexus:0:{room}:events", "nexus:0:control"] {
            let told = redis::cmd("PUBLISH").arg(to).arg(payload).exec_async(&mut raw).await;
            told.expect("published");
        }
    }
    replica.publish(&room, "1").await.expect("published");
    assert_eq!(data(&replica.next().await), "1");

    let forged = redis::cmd("PUBLISH")
        .arg("nexus:0:{room}:events")
        .arg("p 00 99999 1\n{}\n\"forged\"")
        .exec_async(&mut raw)
        .await;
    forged.expect("published");
    replica.publish(&room, "2").await.expect("published");
    assert_eq!(data(&replica.next().await), "2", "the history decides, not the message");

    for command in ["SET", "HSET"] {
        let mut spoil = redis::cmd(command);
        let _ = spoil.arg("nexus:0:{spoilt}:stream").arg("x").arg("y").exec_async(&mut raw).await;
        let spoilt = replica.publish(&channel("spoilt"), "1").await;
        assert!(matches!(spoilt, Ok(_) | Err(BrokerError::Refused(_))), "{spoilt:?}");
    }
    assert_eq!(replica.publish(&room, "3").await.expect("published").offset, 3);
}

// === speed ===

#[tokio::test]
async fn thousands_of_messages_are_published_in_a_second() {
    let server = server!();
    let room = channel("room");
    let mut options = Options::new(&server.url()).expect("a URL");
    options.timeout = SOON;
    let mut replica = Replica::with(options);
    replica.broker.subscribe(&room);
    replica.newest(&room).await;
    let begun = Instant::now();
    let sent: Vec<_> =
        (0..8_000).map(|_| replica.broker.publish(&room, draft("1"), KEEP)).collect();
    let sender = tokio::spawn(async move {
        for one in sent {
            one.await.expect("published");
        }
    });
    for offset in 1..=8_000 {
        let event = replica.next().await;
        let Event::Publication { publication, .. } = event else { panic!("{event:?}") };
        assert_eq!(publication.position.offset, offset);
    }
    sender.await.expect("sent");

    let rate = 8_000.0 / begun.elapsed().as_secs_f64();
    eprintln!("{rate:.0} publications per second, published and delivered");
    // A single round trip each would be some hundreds on a busy machine.
    assert!(rate > 2_000.0, "{rate}");
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_being_shown() {
    for (url, expected) in [
        ("http://user:hidden@host", "expected redis://"),
        ("hidden", "expected redis://"),
        ("rediss://:hidden@host", "rediss:// is not built in"),
        ("redis://:hidden@host/hidden", "not the URL of a Redis"),
        ("redis://", "not the URL of a Redis"),
    ] {
        let problem = Options::new(url).err().expect(url);
        assert!(problem.starts_with(expected), "{url}: {problem}");
        assert!(!problem.contains("hidden"), "{problem}");
    }
}
