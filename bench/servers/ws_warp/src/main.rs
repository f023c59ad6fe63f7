//! Fan-out as a program of warp: a broadcast channel, and a task for each socket.

use std::convert::Infallible;

use futures_util::stream::{unfold, Stream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError, Receiver, Sender};
use warp::sse::Event;
use warp::ws::{Message, WebSocket, Ws};
use warp::Filter;

/// Messages that a subscriber may be behind by before the oldest are lost to it.
const BEHIND: usize = 1024;

async fn subscriber(socket: WebSocket, mut published: Receiver<Message>) {
    let (mut to_client, mut from_client) = socket.split();
    loop {
        tokio::select! {
            message = published.recv() => match message {
                Ok(message) => if to_client.send(message).await.is_err() { break },
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            },
            message = from_client.next() => if !matches!(message, Some(Ok(_))) { break },
        }
    }
}

async fn publisher(mut socket: WebSocket, publish: Sender<Message>) {
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() {
            let _ = publish.send(message);
        }
    }
}

fn stream(published: Receiver<Message>) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(published, |mut published| async move {
        loop {
            match published.recv().await {
                Ok(message) => {
                    let event = Event::default().data(message.to_str().unwrap_or_default());
                    return Some((Ok(event), published));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn main() {
    let (publish, _) = broadcast::channel::<Message>(BEHIND);
    let (subscribed, followed) = (publish.clone(), publish.clone());
    let events = warp::path!("events").map(move || warp::sse::reply(stream(followed.subscribe())));
    let subscribe = warp::path!("ws" / "sub").and(warp::ws()).map(move |ws: Ws| {
        let published = subscribed.subscribe();
        ws.on_upgrade(|socket| subscriber(socket, published))
    });
    let publish = warp::path!("ws" / "pub").and(warp::ws()).map(move |ws: Ws| {
        let publish = publish.clone();
        ws.on_upgrade(|socket| publisher(socket, publish))
    });
    let health = warp::path!("health").map(|| r#"{"status":"ok"}"#);
    let address = ([127, 0, 0, 1], rust_common::port());
    rust_common::runtime()
        .block_on(warp::serve(subscribe.or(publish).or(events).or(health)).run(address));
}
