//! Names in Redis: `prefix:database:{channel}:what`. The braces end the name of the channel; the database is named because publications of Redis know none.

/// Writes the names under one prefix.
pub(super) struct Keys {
    root: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self { root: format!("{prefix}:{database}:") }
    }

    /// Epoch and newest offset.
    pub(super) fn meta(&self, channel: &str) -> String {
        self.of(channel, "meta")
    }

    /// What is kept.
    pub(super) fn stream(&self, channel: &str) -> String {
        self.of(channel, "stream")
    }

    /// Who is there.
    pub(super) fn members(&self, channel: &str) -> String {
        self.of(channel, "members")
    }

    /// Which replicas have members there, and until when they are believed to live.
    pub(super) fn leases(&self, channel: &str) -> String {
        self.of(channel, "leases")
    }

    /// How far consumers are.
    pub(super) fn consumers(&self, channel: &str) -> String {
        self.of(channel, "consumers")
    }

    /// Where publications, joins and leaves are told.
    pub(super) fn events(&self, channel: &str) -> String {
        self.of(channel, "events")
    }

    /// Where revocations and disconnections are told.
    pub(super) fn control(&self) -> String {
        format!("{}control", self.root)
    }

    /// What a replica writes to learn whether the server accepts writes, and still has what it was told.
    pub(super) fn replica(&self, name: &str) -> String {
        format!("{}replica:{name}", self.root)
    }

    /// The revocations that are in force.
    pub(super) fn revoked(&self) -> String {
        format!("{}revoked", self.root)
    }

    /// The channel whose events these are.
    pub(super) fn channel_of(&self, events: &str) -> Option<String> {
        let escaped =
            events.strip_prefix(&*self.root)?.strip_prefix('{')?.strip_suffix("}:events")?;
        Some(escaped.replace("%7D", "}").replace("%7B", "{").replace("%25", "%"))
    }

    /// A brace in the channel's name would end the hash tag, and let one channel name another's keys.
    fn of(&self, channel: &str, what: &str) -> String {
        let mut name = String::with_capacity(self.root.len() + channel.len() + what.len() + 3);
        name.push_str(&self.root);
        name.push('{');
        for letter in channel.chars() {
            match letter {
                '{' => name.push_str("%7B"),
                '}' => name.push_str("%7D"),
                '%' => name.push_str("%25"),
                other => name.push(other),
            }
        }
        name.push_str("}:");
        name.push_str(what);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use proptest::prelude::*;

    #[test]
    fn no_name_of_a_channel_reaches_the_keys_of_another() {
        let keys = Keys::new("nexus", 0);

        assert_eq!(keys.stream("a"), "nexus:0:{a}:stream");
        assert_eq!(keys.stream("a}:stream"), "nexus:0:{a%7D:stream}:stream");
        assert_eq!(keys.stream("{b}"), "nexus:0:{%7Bb%7D}:stream");
    }

    proptest! {
        #[test]
        fn a_channel_is_read_back_from_its_events(channel in "[a%7DB25{}:é\\PC]{0,24}") {
            let keys = Keys::new("nexus", 3);

            prop_assert_eq!(keys.channel_of(&keys.events(&channel)), Some(channel));
        }
    }
}
