"""Credentials: which tokens are sent, and what is taken out of texts."""

from __future__ import annotations

import pytest

from nexus_gateway.values.credentials import check_token, redacted

SECRET = "s3cr3t-9f8e7d6c"
MALFORMED = [
    f"{SECRET}\n", f"{SECRET}\r\nx: y", f" {SECRET}", f"{SECRET}\t", f"{SECRET}\0", f"{SECRET}é",
    f"{SECRET}\u2028", f'"{SECRET}"', f"Bearer {SECRET}", "", b"bytes", None, 7,
]  # fmt: skip


@pytest.mark.parametrize("token", MALFORMED)
def test_what_cannot_be_a_token_is_refused_without_quoting_it(token: object) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        check_token(token)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("token", ["a.b-c_d", "abc/def+~==", "x"])
def test_what_rfc_6750_allows_is_a_token(token: str) -> None:
    assert check_token(token) == token


@pytest.mark.parametrize("token", ["abc/def", "abc="])
def test_a_subprotocol_cannot_carry_every_token(token: str) -> None:
    with pytest.raises(ValueError, match="subprotocol"):
        check_token(token, subprotocol=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token eyJhbGciOi.eyJzdWIi.c2ln-_ end", "token [redacted] end"),
        ("cut: eyJhbGciOi.eyJzdWI", "cut: [redacted]"),
        ("nexus.bearer.a1b2c3, nexus.json", "nexus.bearer.[redacted], nexus.json"),
        ("b'Bearer s3cret-key\\n'", "b'Bearer [redacted]'"),
        ("a bearer token is needed", "a bearer token is needed"),
        ("postgresql://nexus:pa@ss@db:5432/x", "postgresql://[redacted]@db:5432/x"),
        ("redis://:pw@r and bolt://n", "redis://[redacted]@r and bolt://n"),
        ("wss://h/ws?access_token=abc&x=1", "wss://h/ws?access_token=[redacted]&x=1"),
        ("?api_key=abc#f", "?api_key=[redacted]#f"),
        ("?x=1&client-secret=d", "?x=1&client-secret=[redacted]"),
        ("https://h/a:b@c?d=e", "https://h/a:b@c?d=e"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str, expected: str) -> None:
    assert redacted(text) == expected


def test_known_secrets_are_taken_out_however_they_are_quoted() -> None:
    secret = "opaque\nvalue"

    text = redacted(f"plain {secret}, repr {secret!r}", [secret, "x"])

    assert text == "plain [redacted], repr '[redacted]'"
