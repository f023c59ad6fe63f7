"""Debian's index: what a stanza becomes, and where the stanzas come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.studio.demo import debian
from nexus_gateway.studio.demo.debian_graph import DebianGraph
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.intelligence.models import Draft

if TYPE_CHECKING:
    from pathlib import Path

STANZAS = """Package: python3
Version: 3.11.2-1+b1
Installed-Size: 81
Maintainer: Someone <someone@example.com>
Architecture: amd64
Depends: python3.11 (>= 3.11.2-1~), libpython3-stdlib:any (= 3.11.2-1+b1) [amd64], a | b (<< 2)
Description: interactive language
 A longer text.
 .
 In paragraphs.
Tag: devel::interpreter, implemented-in::{c,python},
 role::program
Section: python
Priority: optional
Size: 26300

Package: python3
Version: 3.11.1

Package: empty

"""


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "status"
    monkeypatch.setattr(debian, "STATUS", file)
    monkeypatch.setenv("PATH", str(tmp_path))
    return file


def test_a_package_becomes_an_entity(status: Path) -> None:
    status.write_text(STANZAS)

    python3, empty = debian.packages()

    assert python3 == Draft(
        entity_id="python3",
        entity_type="package",
        name="python3",
        tags=(
            "python",
            "priority:optional",
            "devel::interpreter",
            "implemented-in::c",
            "implemented-in::python",
            "role::program",
        ),
        attributes={
            "version": "3.11.2-1+b1",
            "architecture": "amd64",
            "section": "python",
            "priority": "optional",
            "description": "interactive language",
            "maintainer": "Someone <someone@example.com>",
            "installed_kib": 81,
            "download_bytes": 26300,
            "depends": [
                [{"name": "python3.11", "version": ">= 3.11.2-1~"}],
                [{"name": "libpython3-stdlib", "version": "= 3.11.2-1+b1"}],
                [{"name": "a"}, {"name": "b", "version": "<< 2"}],
            ],
        },
    )
    assert (empty.entity_id, empty.tags, empty.attributes) == ("empty", (), {})


def test_packages_are_counted_beforehand(status: Path) -> None:
    status.write_text(STANZAS)

    assert debian.count() == len(list(debian.packages())) == 2


def test_what_is_made_fits_the_api(status: Path) -> None:
    status.write_text(STANZAS)

    for draft in debian.packages():
        msgspec.json.decode(msgspec.json.encode(draft), type=Draft)


def test_a_machine_without_packages_is_told_what_to_do(status: Path) -> None:
    with pytest.raises(DemoError, match="demo load python"):
        list(debian.packages())

    status.write_text("")
    with pytest.raises(DemoError, match="apt-get update"):
        list(debian.packages())


def test_the_index_of_apt_is_read_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "apt-cache"
    (tmp_path / "index").write_text(STANZAS)
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path}/index\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    first = next(debian.packages())

    assert first.entity_id == "python3"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat {index}; echo E: broken >&2; exit 3", "failed with status 3.*E: broken"),
        ("cat {index}; kill -9 $$", "failed with signal 9"),
        ("echo E: no lists >&2; exit 100", "failed with status 100.*E: no lists"),
    ],
)
def test_an_index_that_ends_with_a_failure_is_not_taken_for_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program = tmp_path / "apt-cache"
    (tmp_path / "index").write_text(STANZAS)
    program.write_text(f"#!/bin/sh\n{script.format(index=tmp_path / 'index')}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    for read in (
        lambda: list(debian.packages()),
        debian.count,
        lambda: list(DebianGraph().nodes()),
    ):
        with pytest.raises(DemoError, match=reason):
            read()


def test_an_index_that_changes_between_its_two_readings_is_refused(status: Path) -> None:
    status.write_text(STANZAS)
    graph = DebianGraph()
    list(graph.nodes())

    status.write_text("Package: python3\nDepends: a\n")

    with pytest.raises(DemoError, match="relationships and then 1: load it again"):
        list(graph.edges())


def test_ids_can_be_left_out_with_the_edges_at_them(status: Path) -> None:
    status.write_text(STANZAS)
    graph = DebianGraph(without={"python3.11", "empty"})

    ids = {node.entity_id for node in graph.nodes()}
    targets = {edge.target for edge in graph.edges()}

    assert not {"python3.11", "empty"} & (ids | targets)
    assert {"a", "b"} <= targets


def test_an_empty_index_of_apt_falls_back_to_what_is_installed(
    status: Path, tmp_path: Path
) -> None:
    program = tmp_path / "apt-cache"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    status.write_text("Package: installed\n")

    assert [draft.entity_id for draft in debian.packages()] == ["installed"]
