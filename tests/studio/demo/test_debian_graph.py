"""The graph of Debian's packages, loaded through a gateway, beside what `apt-cache` says itself."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from contextlib import contextmanager
from io import StringIO
from typing import IO, TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server import Server
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.demo import debian_graph
from nexus_gateway.studio.demo.debian_graph import DebianGraph
from nexus_gateway.studio.demo.graph_loader import load_graph
from nexus_gateway.testing import request
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Generator

    from nexus_gateway.server.settings import Settings

ROOM = "/api/knowledge-graph"
# How `apt-cache depends` names what the fields of a package say.
KINDS = {
    "Depends": "depends",
    "PreDepends": "pre_depends",
    "Recommends": "recommends",
    "Suggests": "suggests",
    "Enhances": "enhances",
    "Breaks": "breaks",
    "Conflicts": "conflicts",
    "Replaces": "replaces",
}
NEEDS = ("--no-suggests", "--no-recommends", "--no-conflicts", "--no-breaks", "--no-replaces")
STANZAS = """Package: a
Version: 1
Section: libs
Depends: b (>= 2), b (<< 3), c | d:any
Pre-Depends: e
Provides: v (= 1)

Package: b
Version: 2
Section: devel
Depends: v
Breaks: a (<< 1)
"""


def apt(*arguments: str) -> str:
    done = subprocess.run(
        ["apt-cache", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.fixture(scope="module")
def closure() -> set[str]:
    """Name all that python3 needs, as apt follows it."""
    if shutil.which("apt-cache") is None:
        pytest.skip("apt-cache is not installed")
    names = set(
        re.findall(r"(?m)^([a-z0-9][^\s:]*)$", apt("depends", "--recurse", *NEEDS, "python3"))
    )
    if "zlib1g" not in names:
        pytest.skip("apt-cache knows no packages: apt-get update has not run")
    return names


def said(names: set[str]) -> dict[str, set[tuple[str, str]]]:
    """Read what each package says of others, out of apt's own words."""
    found: dict[str, set[tuple[str, str]]] = {}
    current = ""
    for line in apt("depends", *sorted(names)).splitlines():
        if not line.startswith(" "):
            current = line.removeprefix("<").removesuffix(">")
            continue
        match = re.match(r"^ [ |](\w+): <?([^\s>:]+)", line)
        if match is not None:
            found.setdefault(current, set()).add((KINDS[match[1]], match[2]))
    return found


@contextmanager
def written(text: str) -> Generator[IO[str]]:
    yield StringIO(text)


class Asking:
    """A gateway over a graph, and somebody of its tenant."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self._server = server
        self.token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
        self.url = f"http://127.0.0.1:{server.addresses[0][1]}"

    async def get(self, target: str) -> dict[str, object]:
        answer = await request(f"GET {ROOM}{target}").bearer(self.token).send(self._server)
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body, type=dict[str, object])

    async def load(self, graph: DebianGraph) -> list[tuple[str, int]]:
        told: list[tuple[str, int]] = []
        await asyncio.to_thread(
            load_graph,
            graph,
            url=self.url,
            token=self.token,
            progress=lambda what, so_far: told.append((what, so_far)),
        )
        return told

    async def edges(self, name: str, way: str) -> set[tuple[str, str, str]]:
        found = await self.get(f"/edges?{way}={name}&limit=1000")
        edges = msgspec.convert(found["items"], list[dict[str, object]])
        return {(str(one["source"]), str(one["type"]), str(one["target"])) for one in edges}


async def test_packages_virtual_and_absent_names_are_nodes_and_conditions_attributes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian_graph, "index", lambda: written(STANZAS))
    graph = DebianGraph()
    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        asking = Asking(server, settings)
        told = await asking.load(graph)
        nodes = await asking.get("/nodes")
        edge = await asking.get("/edges?source=a&target=b")
        section = await asking.get("/nodes/v/neighbours?direction=in&group_by=section")

    items = msgspec.convert(nodes["items"], list[dict[str, object]])
    kinds = {str(one["entity_id"]): one["entity_type"] for one in items}
    assert kinds == {
        **dict.fromkeys("ab", "package"),
        "v": "virtual",
        **dict.fromkeys("cde", "absent"),
    }
    [one] = msgspec.convert(edge["items"], list[dict[str, object]])
    assert one["attributes"] == {"version": ">= 2, << 3"}
    assert told == [("nodes", 6), ("edges", graph.edge_count)]
    assert graph.edge_count == 7
    groups = msgspec.convert(section["groups"], list[dict[str, object]])
    assert {(one["value"], one["count"]) for one in groups} == {("libs", 1), ("devel", 1)}


async def test_the_graph_agrees_with_apt(
    settings: Settings, closure: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = apt("show", "--no-all-versions", *sorted(closure))
    monkeypatch.setattr(debian_graph, "index", lambda: written(index))
    graph = DebianGraph()
    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        asking = Asking(server, settings)
        await asking.load(graph)
        ours = {name: await asking.edges(name, "source") for name in sorted(graph.packages)}
        back = await asking.edges("libc6", "target")
        needs = "&".join(f"type={kind}" for kind in ("depends", "pre_depends"))
        ways = await asking.get(f"/paths?source=python3&target=zlib1g&{needs}")
        around = await asking.get(f"/nodes/libc6/neighbours?depth=2&direction=in&{needs}&limit=0")

    apts = said(graph.packages)
    for name, edges in ours.items():
        assert {(kind, end) for _, kind, end in edges if kind != "provides"} == apts.get(
            name, set()
        )
    reverse = set(re.findall(r"(?m)^ [ |]?(\S+)$", apt("rdepends", "libc6")))
    assert {source for source, kind, _ in back if kind != "provides"} == reverse & graph.packages
    assert first_way(ways) == shortest(apts, "python3", "zlib1g")
    assert around["total"] == len(within_two(apts, "libc6"))


def first_way(ways: dict[str, object]) -> int:
    paths = msgspec.convert(ways["paths"], list[dict[str, object]])
    return msgspec.convert(paths[0]["length"], int)


def needed(apts: dict[str, set[tuple[str, str]]], name: str) -> set[str]:
    return {end for kind, end in apts.get(name, ()) if kind in ("depends", "pre_depends")}


def shortest(apts: dict[str, set[tuple[str, str]]], source: str, target: str) -> int:
    reached, steps = {source}, 0
    while target not in reached:
        reached |= {end for name in reached for end in needed(apts, name)}
        steps += 1
    return steps


def within_two(apts: dict[str, set[tuple[str, str]]], target: str) -> set[str]:
    one = {name for name in apts if target in needed(apts, name)}
    return (one | {name for name in apts if needed(apts, name) & one}) - {target}
