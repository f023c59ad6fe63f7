"""Claims as segments of the names of channels: one rule for the gateway and its clients."""

from __future__ import annotations


def segment(claim: str) -> str:
    """Write a claim as a segment of a channel's name, as the core compares it with a token's.

    A colon would begin another segment, so that `acme` could name channels of `acme:eu`: it is
    written `%3A`, and `%` is written `%25`. What has neither stays as it is.
    """
    return claim.replace("%", "%25").replace(":", "%3A")
