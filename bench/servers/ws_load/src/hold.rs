//! Sockets that are open and do nothing, but answer pings.

use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::frames::{masked, Frames, PING, PONG};
use crate::options::Options;
use crate::socket::{commands, open, open_http};

/// Opens them, and holds them to the end of the standard input.
pub async fn run(options: &Options) -> Result<(), String> {
    let mut told = commands();
    let mut idle = Vec::new();
    for _ in 0..options.hold {
        if options.http {
            idle.push(open_http(options).await?);
        } else {
            let (tcp, rest) = open(options, &options.subscribe, false).await?;
            spawn_local(answer_pings(tcp, rest));
        }
    }
    if let Some(closed) = idle.iter().map(still_open).find(Result::is_err) {
        return closed;
    }
    println!("READY");
    while told.recv().await.is_some() {}
    Ok(())
}

/// An idle connection has nothing to read, not even its end.
fn still_open(tcp: &TcpStream) -> Result<(), String> {
    match tcp.try_read(&mut [0]) {
        Ok(0) => Err("the server closes idle connections".into()),
        _ => Ok(()),
    }
}

async fn answer_pings(tcp: TcpStream, rest: Vec<u8>) {
    let mut frames = Frames::default();
    let mut read = rest;
    loop {
        let fed = frames.feed(&read, |frame| {
            if frame.opcode == PING {
                let _ = tcp.try_write(&masked(PONG, frame.payload, [1, 2, 3, 4]));
            }
            Ok(())
        });
        read.clear();
        if fed.is_err() || tcp.readable().await.is_err() {
            return;
        }
        match tcp.try_read_buf(&mut read) {
            Ok(0) => return,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}
