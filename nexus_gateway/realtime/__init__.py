"""Channels: the hub, its frames, and the chains that end in it. Clients import the frames alone."""
