"""Must pass: `|` written inline, where mypy infers the operands in a context."""

from typing import assert_type

import msgspec
from nexus_gateway import (
    Claims,
    Filter,
    auth,
    body,
    header,
    param,
    path,
)


class Entity(msgspec.Struct):
    id: int


assert_type(auth(scope="x") & header("a"), Filter[Claims, str])
assert_type((auth(scope="x") & header("a")) | (auth(scope="y") & header("b")), Filter[Claims, str])
assert_type(
    path("a") / param("id", int) & (auth(scope="x") | auth(scope="y")) & body(Entity),
    Filter[int, Claims, Entity],
)
assert_type((header("a") & body(Entity)) | (header("b") & body(Entity)), Filter[str, Entity])
