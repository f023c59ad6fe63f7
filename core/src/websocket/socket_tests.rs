//! A socket over a pipe: what a client sends, what it gets, and how each way of ending ends.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::websocket::message::Encoded;

fn pair(room: usize) -> (Socket, DuplexStream) {
    let (ours, theirs) = duplex(room);
    (Socket::new(Box::new(ours), Bytes::new(), Deflate::Off, 1000), theirs)
}

/// A frame of a client, with a mask of zeroes.
fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn text(text: &'static str) -> Message {
    Message::Text(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn messages_of_one_read_come_one_by_one() {
    let (mut socket, mut client) = pair(1000);
    client
        .write_all(&[sent(0x81, b"a"), sent(0x81, b"b"), sent(0x01, b"c")].concat())
        .await
        .unwrap();

    assert_eq!(socket.receive().await, Ok(text("a")));
    assert_eq!(socket.receive().await, Ok(text("b")));
    client.write_all(&sent(0x80, b"d")).await.unwrap();
    assert_eq!(socket.receive().await, Ok(text("cd")));
    assert!(socket.unread.is_empty());
}

#[tokio::test]
async fn what_was_read_with_the_handshake_is_read_first() {
    let (ours, _theirs) = duplex(10);
    let read = Bytes::from(sent(0x81, b"early"));

    let mut socket = Socket::new(Box::new(ours), read, Deflate::Off, 1000);

    assert_eq!(socket.receive().await, Ok(text("early")));
}

#[tokio::test]
async fn what_is_queued_leaves_in_order_and_in_one_piece() {
    let (mut socket, mut client) = pair(200 << 10);
    let mut expected = Vec::new();
    for length in [1, 100, 20_000, 3, 70_000, 5] {
        let frame = Encoded::binary(&vec![length as u8; length]).frame(socket.deflate());
        expected.extend_from_slice(&frame);
        socket.queue(frame);
    }
    assert_eq!(socket.pending_bytes(), expected.len());

    socket.flush().await.unwrap();

    let mut read = vec![0; expected.len()];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(read, expected);
    assert_eq!(socket.pending_bytes(), 0);
}

#[tokio::test]
async fn a_cancelled_flush_goes_on_where_it_was() {
    let (mut socket, mut client) = pair(10);
    for word in ["0123456789", "abcdefghij"] {
        socket.queue(Bytes::from_static(word.as_bytes()));
    }
    assert!(timeout(Duration::ZERO, socket.flush()).await.is_err());
    assert_eq!(socket.pending_bytes(), 10);

    let mut read = [0; 20];
    let (flushed, got) = tokio::join!(socket.flush(), client.read_exact(&mut read));

    assert!(flushed.is_ok() && got.is_ok());
    assert_eq!(&read, b"0123456789abcdefghij");
}

#[tokio::test]
async fn a_ping_is_answered_while_the_next_message_is_waited_for() {
    let (mut socket, mut client) = pair(1000);
    client.write_all(&sent(0x89, b"?")).await.unwrap();

    assert_eq!(socket.receive().await, Ok(Message::Ping(Bytes::from_static(b"?"))));
    assert!(timeout(Duration::ZERO, socket.receive()).await.is_err());

    let mut pong = [0; 3];
    client.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, &[0x8a, 1, b'?']);
}

#[tokio::test]
async fn pongs_that_nobody_reads_stop_the_reading() {
    let (mut socket, mut client) = pair(1000);
    let pings = sent(0x89, &[0; 125]).repeat(1000);
    let writer = tokio::spawn(async move {
        let _ = client.write_all(&pings).await;
        client
    });

    let flood = async { while socket.receive().await.is_ok() {} };
    assert!(timeout(Duration::from_millis(100), flood).await.is_err());

    assert!(socket.pending_bytes() <= REPLIES + 127, "{}", socket.pending_bytes());
    writer.abort();
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_with_its_code() {
    let (mut socket, mut client) = pair(1000);
    client.write_all(&sent(0x88, b"\x0f\xa1bye")).await.unwrap();

    let closed = socket.receive().await.unwrap_err();
    assert_eq!(closed, Closed { code: 4001, reason: "bye".into(), clean: true });
    assert_eq!(socket.receive().await.unwrap_err(), closed);
    socket.queue(Bytes::from_static(b"never"));
    let client = tokio::spawn(async move {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        all
    });
    socket.finish().await;

    assert_eq!(client.await.unwrap(), [0x88, 2, 0x0f, 0xa1]);
}

#[tokio::test]
async fn a_close_of_ours_waits_for_the_clients() {
    let (mut socket, mut client) = pair(1000);
    client.write_all(&sent(0x81, b"crossing")).await.unwrap();
    client.write_all(&sent(0x88, b"\x03\xe9")).await.unwrap();

    let closed = socket.close(1001, "away").await;

    assert_eq!(closed, Closed { code: 1001, reason: "away".into(), clean: true });
    let mut frame = [0; 8];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x88\x06\x03\xe9away");
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_left() {
    let (mut socket, _client) = pair(1000);

    let closed = socket.close(1001, "away").await;

    assert_eq!(closed, Closed { code: 1001, reason: "away".into(), clean: false });
    assert_eq!(socket.receive().await.unwrap_err(), closed);
    socket.finish().await;
}

#[tokio::test]
async fn a_fault_is_told_to_both_sides() {
    let (mut socket, mut client) = pair(1000);
    client.write_all(&[sent(0x83, b""), sent(0x81, b"never")].concat()).await.unwrap();

    let closed = socket.receive().await.unwrap_err();

    assert_eq!((closed.code, closed.clean), (1002, false));
    socket.flush().await.unwrap();
    let mut frame = [0; 4];
    client.read_exact(&mut frame).await.unwrap();
    assert_eq!((frame[0], frame[2..].to_vec()), (0x88, 1002_u16.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_connection_that_is_cut_is_lost() {
    let (mut socket, client) = pair(1000);
    drop(client);

    assert_eq!(socket.receive().await.unwrap_err(), Closed::lost());
    socket.finish().await;
    let (mut socket, client) = pair(1000);
    drop(client);
    socket.ping(b"");
    assert_eq!(socket.flush().await.unwrap_err(), Closed::lost());
    assert_eq!(socket.pending_bytes(), 0);
}
