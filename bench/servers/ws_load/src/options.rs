//! What is asked for, `name=value` by word.

/// See `read` for the names.
#[derive(Debug, Clone)]
pub struct Options {
    pub port: u16,
    /// Paths that subscribers and the publisher open.
    pub subscribe: String,
    pub publish: String,
    /// Where subscribers read server-sent events instead, when it is given.
    pub events: String,
    /// Written before and behind the text of each message, for servers that want an envelope.
    pub before: String,
    pub behind: String,
    /// A header line of every handshake, such as `authorization: Bearer x`.
    pub header: String,
    pub subscribers: usize,
    /// Subscribers that never read.
    pub slow: usize,
    pub seconds: f64,
    /// Messages that may be under way.
    pub window: usize,
    /// Of each message's text.
    pub bytes: usize,
    /// Messages per second; 0 is as many as the window lets through.
    pub rate: f64,
    /// Sockets that are only held; nothing else is done then.
    pub hold: usize,
    /// Whether those are WebSockets, or connections that have had one answer of HTTP.
    pub http: bool,
}

impl Options {
    pub fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            port: 0,
            subscribe: "/ws/sub".into(),
            publish: "/ws/pub".into(),
            events: String::new(),
            before: String::new(),
            behind: String::new(),
            header: String::new(),
            subscribers: 500,
            slow: 0,
            seconds: 4.0,
            window: 16,
            bytes: 200,
            rate: 0.0,
            hold: 0,
            http: false,
        };
        for word in words {
            let (name, value) = word.split_once('=').ok_or(format!("{word}: not name=value"))?;
            options.set(name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        fn number<N: std::str::FromStr>(name: &str, value: &str) -> Result<N, String> {
            value.parse().map_err(|_| format!("{name}={value}: not a number"))
        }
        match name {
            "port" => self.port = number(name, value)?,
            "subscribe" => self.subscribe = value.into(),
            "publish" => self.publish = value.into(),
            "events" => self.events = value.into(),
            "before" => self.before = value.into(),
            "behind" => self.behind = value.into(),
            "header" => self.header = value.into(),
            "subscribers" => self.subscribers = number(name, value)?,
            "slow" => self.slow = number(name, value)?,
            "seconds" => self.seconds = number(name, value)?,
            "window" => self.window = number(name, value)?,
            "bytes" => self.bytes = number(name, value)?,
            "rate" => self.rate = number(name, value)?,
            "hold" => self.hold = number(name, value)?,
            "http" => self.http = value == "yes",
            _ => return Err(format!("{name}: no such option")),
        }
        Ok(())
    }
}
