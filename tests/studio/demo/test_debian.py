"""Debian's index: what a stanza becomes, and where the stanzas come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.studio.demo import debian
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

    assert debian.count() == 3


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


def test_an_empty_index_of_apt_falls_back_to_what_is_installed(
    status: Path, tmp_path: Path
) -> None:
    program = tmp_path / "apt-cache"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    status.write_text("Package: installed\n")

    assert [draft.entity_id for draft in debian.packages()] == ["installed"]
