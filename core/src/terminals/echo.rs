//! `echo`: a WebSocket that sends back what it gets, for trying a client, a proxy on the way, or the gateway itself.

use std::time::Duration;

use crate::answer::Answer;
use crate::reject::Rejection;
use crate::websocket::handshake::no_subprotocol;
use crate::websocket::message::{Opcode, deflated_frame};
use crate::websocket::{Closed, Handshake, Message, Session, Socket};

/// Bytes; with more than this waiting to leave, nothing is read.
const WAITING: usize = 256 << 10;

/// The terminal, compiled.
pub struct Echo {
    max_bytes: usize,
    /// How long a client may be silent before it is asked for a sign of life, and again until it is taken for gone.
    idle: Duration,
}

impl Echo {
    /// Compiles the terminal.
    pub fn build(max_bytes: u64, idle_ms: u64) -> Self {
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Self { max_bytes, idle: Duration::from_millis(idle_ms) }
    }

    /// Accepts or refuses a handshake.
    pub(crate) fn answer(&self, parts: &http::request::Parts) -> Result<Answer, Box<Rejection>> {
        let handshake = Handshake::read(parts, no_subprotocol)?;
        let idle = self.idle;
        let session = Session::new(handshake.deflate, self.max_bytes, move |socket| {
            Box::pin(async move { live(socket, idle).await })
        });
        Ok(Answer::upgrade(handshake.headers, session))
    }
}

async fn live(socket: &mut Socket, idle: Duration) {
    let mut draining = socket.draining();
    let mut asked = false;
    loop {
        let received = tokio::select! {
            received = tokio::time::timeout(idle, socket.receive()) => received,
            () = &mut draining => {
                Box::pin(socket.close(1001, "the gateway is going away")).await;
                return;
            }
        };
        match received {
            Ok(Ok(message)) => {
                asked = false;
                if answer(socket, message).await.is_err() {
                    return;
                }
            }
            Ok(Err(_closed)) => return,
            Err(_) if asked => {
                Box::pin(socket.close(1001, "no sign of life")).await;
                return;
            }
            Err(_) => {
                asked = true;
                socket.ping(b"");
            }
        }
    }
}

async fn answer(socket: &mut Socket, message: Message) -> Result<(), Closed> {
    let (opcode, payload) = match &message {
        Message::Text(text) => (Opcode::Text, text),
        Message::Binary(bytes) => (Opcode::Binary, bytes),
        Message::Ping(_) | Message::Pong(_) => return Ok(()),
    };
    // Who tries deflating wants to see it, also of a message that is too short to gain by it.
    socket.queue(deflated_frame(opcode, payload, socket.deflate()));
    if socket.pending_bytes() > WAITING { socket.flush().await } else { Ok(()) }
}
