//! A WebSocket client for tests, and publications over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Running, body};

/// A client that waits 5 s for what it reads.
pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub fn open(running: &Running, target: &str) -> Self {
        let mut client = Self { stream: running.connect(), read: Vec::new() };
        client.stream.set_nodelay(true).unwrap();
        write!(
            client.stream,
            "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let head = client.until(|read| {
            read.windows(4).position(|end| end == b"\r\n\r\n").map(|place| place + 4)
        });
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(client.receive()["type"], "welcome");
        client
    }

    pub fn until(&mut self, whole: impl Fn(&[u8]) -> Option<usize>) -> Vec<u8> {
        loop {
            if let Some(end) = whole(&self.read) {
                return self.read.drain(..end).collect();
            }
            let mut more = vec![0; 65_536];
            let count = self.stream.read(&mut more).unwrap();
            assert!(count > 0, "the connection has ended");
            self.read.extend_from_slice(&more[..count]);
        }
    }

    pub fn send(&mut self, frame: &Value) {
        let payload = frame.to_string().into_bytes();
        let mut out = vec![0x81];
        match payload.len() {
            short @ 0..=125 => out.push(0x80 | short as u8),
            medium @ 126..=0xffff => {
                out.push(0x80 | 0x7e);
                out.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                out.push(0x80 | 0x7f);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 4]); // a mask of zeros changes nothing
        out.extend_from_slice(&payload);
        self.stream.write_all(&out).unwrap();
    }

    /// The next frame: JSON, or a close code as a number.
    pub fn receive(&mut self) -> Value {
        let frame = self.until(|read| {
            let (length, header) = match *read.get(1)? {
                126 => (u16::from_be_bytes([*read.get(2)?, *read.get(3)?]) as usize, 4),
                127 => (u64::from_be_bytes(read.get(2..10)?.try_into().ok()?) as usize, 10),
                short => (short as usize, 2),
            };
            (read.len() >= header + length).then_some(header + length)
        });
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        match frame[0] {
            0x81 => serde_json::from_slice(&frame[header..]).unwrap(),
            0x88 => json!(u16::from_be_bytes([frame[2], frame[3]])),
            _ => self.receive(),
        }
    }

    pub fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame);
        self.receive()
    }
}

/// Publishes by `POST /channels/{channel}`.
pub fn post(running: &Running, channel: &str, data: &Value) -> Value {
    let text = json!({"data": data}).to_string();
    let length = text.len();
    let answer = running.exchange(
        format!(
            "POST /channels/{channel} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{text}"
        )
        .as_bytes(),
    );
    body(&answer)
}
