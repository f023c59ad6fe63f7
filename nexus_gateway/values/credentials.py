"""Credentials: checked before they are sent, and removed from logs, errors and statuses.

The client, the commands and the adapters of other services quote what others wrote: an exception of
a library, the reason of a close, the body of an answer. Any of these may repeat a token, or a URL
with a password; `redacted` replaces it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

REDACTED = "[redacted]"
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, section 2.1."""
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_NOT_IN_SUBPROTOCOL = re.compile(r"[/=]")
"""What RFC 6750 allows and the name of a subprotocol does not (RFC 9110, section 5.6.2)."""
_SECRET_CHARS_MIN = 4
"""A shorter text is not replaced: it would be found everywhere."""
_PATTERNS = (
    # A signed token, also where it is cut off.
    (re.compile(r"eyJ[\w-]*\.[\w-]+(\.[\w-]*)?", re.ASCII), REDACTED),
    # A word is none: "a bearer token is needed".
    (re.compile(r"(bearer[ .])[^\s,;\"']*\d[^\s,;\"']*", re.IGNORECASE), rf"\1{REDACTED}"),
    # The user and the password of a URL; a password may have "@" in it.
    (re.compile(r"(//)[^\s/?#\"']*@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"([?&][\w-]*(?:token|key|secret|password|passwd|pwd|jwt|auth|signature)=)[^\s&#\"']*",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


def check_token(token: object, *, subprotocol: bool = False) -> str:
    """Give the token back where it can be sent as a bearer token.

    Args:
        token: the value to check.
        subprotocol: whether it is sent in the name of a subprotocol, as browsers do.

    Raises:
        ValueError: it has white space or other characters that no token has, is empty, or is no
            text; the message does not quote it.
    """
    if not isinstance(token, str):
        raise ValueError(  # noqa: TRY004 - one kind of error for whatever is wrong with a token
            f"expected the token as text, found {type(token).__name__}"
        )
    if not token:
        raise ValueError("the token is empty")
    if _BEARER.fullmatch(token) is None:
        raise ValueError(
            "the token has a character that no token has, such as white space or a line break"
        )
    if subprotocol and _NOT_IN_SUBPROTOCOL.search(token) is not None:
        raise ValueError("the token has '/' or '=', which a subprotocol cannot carry")
    return token


def check_key(key: str) -> str:
    """Give the key of another service back where a header can carry it.

    Raises:
        ValueError: it has characters that a header cannot carry; the message does not quote it.
    """
    if _VISIBLE.fullmatch(key) is None:
        raise ValueError("the key is empty or has white space or characters that are not ASCII")
    return key


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Give the text without what looks like a credential, and without these secrets.

    >>> redacted("redis://nexus:pa@ss@cache:6379 refuses Bearer 0123456789")
    'redis://[redacted]@cache:6379 refuses Bearer [redacted]'
    """
    for secret in secrets:
        # A library quotes a header by `repr`, which writes a line break as two characters.
        for form in {secret, secret.strip(), repr(secret)[1:-1]}:
            if len(form) >= _SECRET_CHARS_MIN:
                text = text.replace(form, REDACTED)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
