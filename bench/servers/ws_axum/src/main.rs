//! Fan-out as a program of axum: a broadcast channel, and a task for each socket.

use std::convert::Infallible;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::Router;
use futures_util::stream::{unfold, Stream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast::{self, error::RecvError, Receiver, Sender};

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
        if matches!(message, Message::Text(_)) {
            let _ = publish.send(message);
        }
    }
}

async fn subscribe(ws: WebSocketUpgrade, State(publish): State<Sender<Message>>) -> Response {
    let published = publish.subscribe();
    ws.on_upgrade(|socket| subscriber(socket, published))
}

async fn publish(ws: WebSocketUpgrade, State(publish): State<Sender<Message>>) -> Response {
    ws.on_upgrade(|socket| publisher(socket, publish))
}

async fn events(
    State(publish): State<Sender<Message>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(unfold(publish.subscribe(), |mut published| async move {
        loop {
            match published.recv().await {
                Ok(message) => {
                    let event = Event::default().data(message.to_text().unwrap_or_default());
                    return Some((Ok(event), published));
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }))
}

fn main() {
    let (sender, _) = broadcast::channel::<Message>(BEHIND);
    let app = Router::new()
        .route("/health", get(|| async { r#"{"status":"ok"}"# }))
        .route("/ws/sub", get(subscribe))
        .route("/ws/pub", get(publish))
        .route("/events", get(events))
        .with_state(sender);
    rust_common::runtime().block_on(async {
        let address = ("127.0.0.1", rust_common::port());
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let prompt = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        axum::serve(prompt, app).await.unwrap();
    });
}
