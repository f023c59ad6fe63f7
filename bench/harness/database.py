"""A PostgreSQL for the servers that keep their entities in one: what the tests start, empty."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from harness import places

if TYPE_CHECKING:
    from collections.abc import Generator


class Database(NamedTuple):
    """A running PostgreSQL: where it is, and its first process."""

    url: str
    process: int


@contextmanager
def postgres() -> Generator[Database]:
    """Start an empty server and end it afterwards; it may use every processor, as all share it."""
    if str(places.REPOSITORY) not in sys.path:
        sys.path.append(str(places.REPOSITORY))
    from tests.harness.servers import running_postgres

    with running_postgres() as server:
        yield Database(server.url(), server.process)
