//! The load of the WebSocket scenarios: subscribers that read, subscribers that do not, and one publisher; or sockets
//! that are held and do nothing. It is told what to do by `name=value` words (see `options`), writes `READY` when all
//! sockets are open, starts at a line on its standard input, ends at the end of it, and writes `RESULT` and JSON.
//!
//! One thread and one buffer for all sockets, so that the load is cheaper than any server; every frame that comes is
//! checked as RFC 6455 wants it, and every message by its number: none lost, doubled or out of order unseen.

mod events;
mod fan;
mod frames;
mod hold;
mod latency;
mod options;
mod socket;

use options::Options;

fn main() {
    let options = Options::read(std::env::args().skip(1)).unwrap_or_else(|wrong| end(&wrong));
    socket::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| end(&error.to_string()));
    let local = tokio::task::LocalSet::new();
    let done = runtime.block_on(local.run_until(async {
        if options.hold > 0 {
            hold::run(&options).await
        } else {
            fan::run(options).await
        }
    }));
    if let Err(wrong) = done {
        end(&wrong);
    }
    // Not dropped: closing thousands of sockets one by one says nothing of the server.
    std::process::exit(0);
}

fn end(wrong: &str) -> ! {
    eprintln!("ws-load: {wrong}");
    std::process::exit(1);
}
