"""Entity tags: conditional headers as the rooms' services take them (RFC 9110, section 13)."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from msgspec import Meta

from nexus_gateway import Detail, Reject
from nexus_gateway.studio.conditions import Condition

EntityTags: TypeAlias = Annotated[
    str,
    Meta(
        description='`*`, or entity tags as an `ETag` has them: `"1-5d3", "2-5d3"`.',
        # No `anyOf`: generators of clients leave out operations whose headers have one.
        extra_json_schema={
            "format": "entity-tags",
            "pattern": r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$',
            "examples": ["*", '"1-5d3"', 'W/"1-5d3", "2-5d3"'],
        },
    ),
]
"""The value of `If-Match`, and of `If-None-Match` where something is read."""
AnyTag: TypeAlias = Annotated[
    str,
    Meta(
        description="`*`: only where nothing is.",
        extra_json_schema={"enum": ["*"]},
    ),
]
"""The value of `If-None-Match` where something is changed."""

_TAG = re.compile(r'(?:W/)?"([^"\x00-\x20\x7f]*)"')
_TAGS = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


def expected(if_match: str | None, if_none_match: str | None = None) -> Condition:
    """Read what a change expects to find out of its conditional headers.

    Raises:
        Reject: a header is not a list of entity tags, or asks for what is not done here.
    """
    wanted = _tags("if-match", if_match)
    unwanted = _tags("if-none-match", if_none_match)
    if unwanted not in ((), ("*",)):
        raise _bad_header("if-none-match", "only * makes sense for a change")
    return Condition(
        versions=() if "*" in wanted else wanted, present="*" in wanted, absent="*" in unwanted
    )


def cached_tags(if_none_match: str | None) -> tuple[str, ...]:
    """Read which versions the caller has; before what may redirect or find nothing.

    Raises:
        Reject: the header is not a list of entity tags.
    """
    return _tags("if-none-match", if_none_match)


def is_cached(tags: tuple[str, ...], version: str) -> bool:
    """Say whether the caller has this version already."""
    return "*" in tags or version in tags


def etag(version: str) -> tuple[tuple[str, str], ...]:
    """Write the header that names a version."""
    return (("etag", f'"{version}"'),)


def _tags(name: str, value: str | None) -> tuple[str, ...]:
    """Read entity tags, or the one entry `*`.

    A weak tag is taken for its strong one: the gateway weakens a tag where it compresses the
    answer, and what is compared here is the entity's state, not the answer's bytes.
    """
    if value is None or value.strip() == "*":
        return () if value is None else ("*",)
    if not _TAGS.fullmatch(value):
        raise _bad_header(name, 'expected * or a list of entity tags such as "1-5d3"')
    return tuple(_TAG.findall(value))


def _bad_header(name: str, message: str) -> Reject:
    detail = Detail("header", name, "entity tags", message)
    return Reject("validation_error", f"header {name}: {message}", status=400, details=[detail])
