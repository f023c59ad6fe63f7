//! Two gateways that share a Redis: what one is told reaches the clients of the other, and each goes on without it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod redis_server;
mod support;

use nexus_core::plan::Secrets;
use redis_server::Server;
use serde_json::{Value, json};
use support::client::{Client, post};
use support::{Running, plan, start_with_secrets};

fn replica(redis: &Server) -> Running {
    let open = json!({"anonymous": true});
    let namespace = |name: &str, shared: bool| {
        json!({"name": name, "subscribe": open, "publish": open, "history": 100,
            "history_ms": 60_000, "presence": true, "max_bytes": 1000, "overflow": "drop_oldest",
            "queue": 64, "queue_bytes": 1_000_000, "shared": shared})
    };
    let channel = json!({"op": "param", "name": "channel", "kind": {"type": "str"}});
    let routes = json!([
        {"name": "socket", "path": "/ws", "methods": ["GET"],
            "terminal": {"op": "hub", "operation": "socket"}},
        {"name": "publish", "path": "/channels/{channel}", "methods": ["POST"],
            "steps": [channel, {"op": "body", "content": "json"}],
            "terminal": {"op": "hub", "operation": "publish"}},
        {"name": "disconnect", "path": "/disconnect", "methods": ["POST"],
            "steps": [{"op": "body", "content": "json"}],
            "terminal": {"op": "hub", "operation": "disconnect"}},
    ]);
    let mut all = plan(routes, json!({"idle_timeout_ms": 60_000}));
    all["hub"] = json!({
        "namespaces": [namespace("open:*", true), namespace("own:*", false)],
        "heartbeat_ms": 60_000, "sockets": 100, "subscriptions": 4, "channels": 50,
        "max_bytes": 10_000, "history_bytes": 1_000_000, "metrics_ms": 0, "operator": "all",
        "redis": {"secret": "redis", "prefix": "test"},
    });
    let secrets = Secrets::from([("redis".to_owned(), redis.url().into_bytes())]);
    start_with_secrets(&all, &secrets)
}

fn subscribed(running: &Running, channel: &str) -> (Client, Value) {
    let mut client = Client::open(running, "/ws");
    let frame = json!({"type": "subscribe", "channel": channel, "id": 1, "presence": true});
    let ack = client.ask(&frame);
    assert_eq!(ack["type"], "ack", "{ack}");
    (client, ack)
}

/// The next message, past what is told beside.
fn message(client: &mut Client) -> Value {
    loop {
        let frame = client.receive();
        if frame["type"] == "message" {
            return frame;
        }
    }
}

#[test]
fn what_one_replica_is_told_reaches_the_clients_of_the_other_in_one_order() {
    let Some(redis) = Server::start(&[]) else { return };
    let (left, right) = (replica(&redis), replica(&redis));
    let (mut first, ack) = subscribed(&left, "open:a");
    let (mut second, _) = subscribed(&right, "open:a");

    assert_eq!(first.receive()["type"], "join");
    for number in 1..=10 {
        let place = post(if number % 2 == 0 { &left } else { &right }, "open:a", &json!(number));
        assert_eq!((&place["epoch"], &place["offset"]), (&ack["epoch"], &json!(number)));
    }

    for client in [&mut first, &mut second] {
        for number in 1..=10 {
            assert_eq!(message(client)["data"], number);
        }
    }
    let mut late = Client::open(&right, "/ws");
    let since = json!({"type": "subscribe", "channel": "open:a", "id": 1,
        "epoch": ack["epoch"], "offset": 4});
    let ack = late.ask(&since);
    assert_eq!((&ack["recovered"], &ack["missed"]), (&json!(true), &json!(6)));
    for number in 5..=10 {
        assert_eq!(message(&mut late)["data"], number);
    }
}

#[test]
fn a_channel_that_is_not_shared_stays_with_its_replica() {
    let Some(redis) = Server::start(&[]) else { return };
    let (left, right) = (replica(&redis), replica(&redis));
    let (mut client, _) = subscribed(&left, "own:a");

    post(&right, "own:a", &json!("right"));
    post(&left, "own:a", &json!("left"));

    assert_eq!(message(&mut client)["data"], "left");
}

#[test]
fn a_replica_serves_alone_while_redis_is_away_and_tells_that_something_may_be_lost() {
    let Some(mut redis) = Server::start(&[]) else { return };
    let (left, right) = (replica(&redis), replica(&redis));
    let (mut client, ack) = subscribed(&left, "open:a");
    post(&right, "open:a", &json!("before"));
    assert_eq!(message(&mut client)["data"], "before");

    redis.kill();
    let place = post(&left, "open:a", &json!("alone"));
    assert_ne!(place["epoch"], ack["epoch"], "{place}");
    assert_eq!(client.receive()["type"], "dropped");
    assert_eq!(message(&mut client)["data"], "alone");

    redis.restart();
    let mut back = false;
    for _ in 0..100 {
        post(&right, "open:a", &json!("after"));
        client.stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        post(&left, "open:a", &json!("mark"));
        let next = message(&mut client);
        back = next["data"] == "after";
        if back {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(back, "what the other publishes came no more");
}

#[test]
fn an_operator_closes_sockets_of_every_replica() {
    let Some(redis) = Server::start(&[]) else { return };
    let (left, right) = (replica(&redis), replica(&redis));
    let (mut client, _) = subscribed(&left, "open:a");
    let members = client.ask(&json!({"type": "presence", "channel": "open:a", "id": 2}));
    let name = members["members"][0]["connection"].as_str().unwrap();

    let text = json!({"connection": name, "reason": "moved: reconnect"}).to_string();
    let length = text.len();
    right.exchange(
        format!(
            "POST /disconnect HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{text}"
        )
        .as_bytes(),
    );

    assert_eq!(client.receive()["type"], "reconnect");
    assert_eq!(client.receive(), 4009);
}
