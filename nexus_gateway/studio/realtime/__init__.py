"""The hub as the studio uses it: its channels, its sockets, its controls."""
