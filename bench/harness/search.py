"""Imports and searches of the studio, embedded: how fast entities come in, how fast answers."""

from __future__ import annotations

import http.client
import itertools
import random
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import msgspec

from harness import processes
from harness.servers import running
from harness.sizes import Size
from harness.traffic import STUDIO_SCOPES, token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.servers import Server, Spec

ENTITIES = 100_000
QUICK_ENTITIES = 10_000
SEARCHES = 30
"""Of each kind."""
PIECE = 4 << 20
"""Bytes of one request of an import, as `nexus-gateway import` sends them."""
PATIENCE = 120.0
"""Seconds that the vectors may take."""
ROOM = "/api/intelligence/entities"
KINDS = ("package", "person", "tool", "service", "document")
SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ter",
    "son",
    "ver",
    "pa",
    "chi",
    "ro",
    "de",
    "ne",
    "sta",
    "li",
    "gra",
)


OTHERS = "search: what others used meanwhile"


class Entity(NamedTuple):
    """What searches are made of."""

    entity_id: str
    kind: str
    name: str
    tag: str
    words: list[str]


class Found(msgspec.Struct):
    """What is read of an answer."""

    items: list[dict[str, object]]
    pending: int


def search(table: Mapping[str, Spec], *, quick: bool) -> Iterator[Size]:
    """Import entities into the studio and search them.

    Raises:
        RuntimeError: an answer was not as it must be.
        ServerError: the studio did not start.
    """
    count = QUICK_ENTITIES if quick else ENTITIES
    known: list[Entity] = []
    pieces = list(_pieces(count, known))
    with running("studio", table["studio"], pinned=False) as server:
        caller = _Caller(server)
        others = _Others(caller)
        yield from _import(caller, pieces, count)
        started = time.perf_counter()
        caller.wait_for_vectors()
        waited = time.perf_counter() - started
        yield Size(
            f"search: vectors of {count:,} entities, after the import", round(waited, 1), "s"
        )
        yield from _search(caller, known, count)
        yield Size(OTHERS, others.share(), "processors")
        memory = processes.memory(server.processes()).rss_mb
        yield Size(f"search: resident with {count:,} entities", memory, "MB")


def _import(caller: _Caller, pieces: list[bytes], count: int) -> Iterator[Size]:
    seconds: list[float] = []
    each: list[float] = []
    for piece in pieces:
        busy = caller.cpu()
        seconds.append(caller.send(piece))
        each.append((caller.cpu() - busy) / piece.count(b"\n") * 1e6)
    name = f"import of {count:,} entities"
    yield Size(f"search: {name}", round(count / sum(seconds)), "/s")
    yield Size(f"search: {name}, the gateway's CPU", round(statistics.mean(each), 1), "us each")
    ratio = round(each[-1] / each[0], 3)
    yield Size(f"search: {name}, the last piece's CPU for each to the first's", ratio, "x")


def _search(caller: _Caller, known: list[Entity], count: int) -> Iterator[Size]:
    chance = random.Random(5)
    times: dict[str, list[float]] = {}
    busy = caller.cpu()
    for _ in range(SEARCHES):
        for kind, query in _queries(chance.choice(known), chance):
            times.setdefault(kind, []).append(caller.search(query))
    every = sorted(itertools.chain.from_iterable(times.values()))
    busy = (caller.cpu() - busy) / len(every)
    name = f"hybrid search over {count:,} entities"
    yield Size(f"search: {name}, p50", round(statistics.median(every), 2), "ms")
    yield Size(f"search: {name}, p95", round(every[int(len(every) * 0.95)], 2), "ms")
    yield Size(f"search: {name}, the gateway's CPU", round(busy * 1e3, 2), "ms each")
    for kind, some in times.items():
        yield Size(f"search: {kind}, p50", round(statistics.median(some), 2), "ms")


def _queries(entity: Entity, chance: random.Random) -> Iterator[tuple[str, dict[str, str]]]:
    words = entity.words
    yield "a word", {"q": chance.choice(words)}
    yield "two words", {"q": " ".join(chance.sample(words, 2))}
    yield "a name", {"q": entity.name}
    yield "the beginning of a word", {"q": chance.choice(words)[:4]}
    yield "a word and a type", {"q": chance.choice(words), "type": entity.kind}
    yield "a word and a tag", {"q": chance.choice(words), "tag": entity.tag}
    yield "like an entity", {"like": entity.entity_id}


class _Others:
    """How much of the machine is used by neither the studio nor its caller."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller
        self._began = time.perf_counter(), self._used()

    def share(self) -> float:
        """Give the processors that were used since."""
        seconds = time.perf_counter() - self._began[0]
        return round((self._used() - self._began[1]) / seconds, 2)

    def _used(self) -> float:
        return processes.machine().busy - self._caller.cpu() - time.process_time()


class _Caller:
    """Calls the studio over one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._headers = {"authorization": f"Bearer {token('bench', scopes=STUDIO_SCOPES)}"}

    def cpu(self) -> float:
        """Give the seconds that the studio worked."""
        return processes.cpu_seconds(self._server.processes())

    def send(self, piece: bytes) -> float:
        """Import a piece; seconds."""
        headers = self._headers | {"content-type": "application/x-ndjson"}
        started = time.perf_counter()
        answer = self._ask("POST", f"{ROOM}:import", headers, piece)
        seconds = time.perf_counter() - started
        summary = msgspec.json.decode(answer, type=dict[str, object])
        if summary["created"] != piece.count(b"\n"):
            raise RuntimeError(f"an import answered {answer[:300]!r}")
        return seconds

    def search(self, query: Mapping[str, str]) -> float:
        """Search; milliseconds."""
        started = time.perf_counter()
        answer = self._ask("GET", f"{ROOM}/search?{urlencode(query)}", self._headers)
        milliseconds = (time.perf_counter() - started) * 1e3
        if not msgspec.json.decode(answer, type=Found).items and "like" not in query:
            raise RuntimeError(f"nothing was found for {query}")
        return milliseconds

    def wait_for_vectors(self) -> None:
        """Wait until every entity has its vector."""
        deadline = time.perf_counter() + PATIENCE
        while time.perf_counter() < deadline:
            answer = self._ask("GET", f"{ROOM}/search?limit=1", self._headers)
            if not msgspec.json.decode(answer, type=Found).pending:
                return
            time.sleep(0.5)
        raise RuntimeError(f"vectors were not made within {PATIENCE:.0f} s")

    def _ask(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> bytes:
        self._connection.request(method, target, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{method} {target} answered {answer.status} {content[:300]!r}")
        return content


def _pieces(count: int, known: list[Entity]) -> Iterator[bytes]:
    """Make entities as a package index has them: few words are common, most are rare."""
    chance = random.Random(7)
    vocabulary = list({_word(chance): None for _ in range(60_000)})[:20_000]
    words = list(itertools.accumulate(1 / (rank + 5) for rank in range(len(vocabulary))))
    tags = [f"tag{number}" for number in range(300)]
    common = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(tags))))
    piece = bytearray()
    for number in range(count):
        text = chance.choices(vocabulary, cum_weights=words, k=chance.randint(8, 16))
        name = "-".join(chance.choices(vocabulary, cum_weights=words, k=2))
        own = list(dict.fromkeys(chance.choices(tags, cum_weights=common, k=3)))
        kind = KINDS[number % len(KINDS)]
        entity = {"entity_id": f"e:{number}", "entity_type": kind, "name": name, "tags": own}
        attributes = {"description": " ".join(text), "version": f"1.{number % 100}", "size": number}
        piece += msgspec.json.encode(entity | {"attributes": attributes}) + b"\n"
        if number % 97 == 0:
            known.append(Entity(f"e:{number}", kind, name, own[0], text))
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _word(chance: random.Random) -> str:
    return "".join(chance.choices(SYLLABLES, k=chance.randint(1, 4)))
