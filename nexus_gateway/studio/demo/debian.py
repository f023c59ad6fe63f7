"""Debian's package index of this machine, read stanza by stanza, as entities.

`apt-cache dumpavail` writes what `apt-get update` fetched, however it is compressed; where that is
nothing, the installed packages of dpkg's own status file are taken.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.intelligence.models import Draft

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

STATUS = Path("/var/lib/dpkg/status")
# A debtag, `role::program`, or several in short, `implemented-in::{c,c++}`.
_DEBTAG = re.compile(r"([^,{}\s]+)(?:\{([^}]*)\})?")
# One package of a relationship: `libc6:any (>= 2.34) [amd64] <!nocheck>`.
_RELATION = re.compile(r"\s*([a-z0-9][a-z0-9+.-]*)(?::\w+)?\s*(?:\(([^)]*)\))?")


TYPES = frozenset({"package"})
"""The types of the entities."""


def packages() -> Iterator[Draft]:
    """Yield every package once.

    Raises:
        DemoError: this machine knows no packages, or the index cannot be read to its end.
    """
    seen: set[str] = set()
    with index() as lines:
        for stanza in stanzas(lines):
            name = stanza.get("Package")
            # An index lists a package once for each version of it.
            if name is None or name in seen:
                continue
            seen.add(name)
            yield draft(name, stanza)


def count() -> int:
    """Count the packages, each once.

    Raises:
        DemoError: this machine knows no packages, or the index cannot be read to its end.
    """
    with index() as lines:
        return len({line for line in lines if line.startswith("Package:")})


@contextmanager
def index() -> Generator[IO[str]]:
    """Open the index as text; closing it ends the program that writes it.

    Raises:
        DemoError: this machine knows no packages, or the program failed before the index's end.
    """
    apt = shutil.which("apt-cache")
    if apt is not None and _has_lists(apt):
        with _written_by(apt) as lines:
            yield lines
        return
    if not STATUS.exists():
        raise DemoError("there are no Debian packages here: try 'demo load python'")
    if STATUS.stat().st_size == 0:
        raise DemoError("the package index is empty: run 'apt-get update'")
    with STATUS.open(encoding="utf-8", errors="replace") as status:
        yield status


@contextmanager
def _written_by(apt: str) -> Generator[IO[str]]:
    """Read what a program writes; one that is read to its end must have ended well."""
    # A file and not a pipe: a program that writes many warnings must not wait for a reader.
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - no part of the command comes from outside
            [apt, "dumpavail"],
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",
        ) as program,
    ):
        assert program.stdout is not None  # noqa: S101 - asked for above
        try:
            yield program.stdout
            ended = not program.stdout.read(1)
            status = program.wait() if ended else 0
        finally:
            program.kill()
        if status != 0:
            errors.seek(0)
            said = errors.read(500).decode(errors="replace").strip()
            raise DemoError(
                f"{apt} dumpavail failed with {_ended_by(status)}, so the index is not complete"
                + (f": {said}" if said else "")
            )


def _ended_by(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


def stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    r"""Read deb822: fields of `Name: value` with continuation lines, stanzas between empty lines.

    >>> list(stanzas(["Package: a", "Tag: x,", " y", "", "Package: b"]))
    [{'Package': 'a', 'Tag': 'x,\ny'}, {'Package': 'b'}]
    """
    stanza: dict[str, str] = {}
    field = ""
    for raw in lines:
        line = raw.rstrip("\n")
        if not line.strip():
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0] in " \t":
            stanza[field] = f"{stanza.get(field, '')}\n{line.strip()}"
        else:
            field, _, value = line.partition(":")
            stanza[field] = value.strip()
    if stanza:
        yield stanza


def draft(name: str, stanza: dict[str, str]) -> Draft:
    """Make an entity of a package: sections and debtags are tags, the rest attributes."""
    attributes: dict[str, object] = {
        "version": stanza.get("Version"),
        "architecture": stanza.get("Architecture"),
        "section": stanza.get("Section"),
        "priority": stanza.get("Priority"),
        "description": stanza.get("Description", "").partition("\n")[0],
        "homepage": stanza.get("Homepage"),
        "maintainer": stanza.get("Maintainer"),
        "installed_kib": _number(stanza.get("Installed-Size")),
        "download_bytes": _number(stanza.get("Size")),
        "depends": relations(stanza.get("Depends", "")),
    }
    given = {key: value for key, value in attributes.items() if value not in (None, "", [])}
    return Draft(
        entity_id=name, entity_type="package", name=name, tags=_tags(stanza), attributes=given
    )


def relations(text: str) -> list[list[dict[str, str]]]:
    """Read a relationship: all of the list are needed, of each the first alternative that is there.

    >>> relations("libc6 (>= 2.34), mta | exim4")
    [[{'name': 'libc6', 'version': '>= 2.34'}], [{'name': 'mta'}, {'name': 'exim4'}]]
    """
    needed = [_alternatives(group) for group in text.split(",")]
    return [group for group in needed if group]


def _alternatives(group: str) -> list[dict[str, str]]:
    found = [_RELATION.match(alternative) for alternative in group.split("|")]
    return [
        {"name": match[1], "version": match[2]} if match[2] else {"name": match[1]}
        for match in found
        if match is not None
    ]


def _tags(stanza: dict[str, str]) -> tuple[str, ...]:
    tags = [stanza["Section"]] if "Section" in stanza else []
    if "Priority" in stanza:
        tags.append(f"priority:{stanza['Priority']}")
    for prefix, values in _DEBTAG.findall(stanza.get("Tag", "")):
        tags += [f"{prefix}{value.strip()}" for value in values.split(",")]
    return tuple(tag for tag in dict.fromkeys(tags) if len(tag) <= 64)[:64]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _has_lists(apt: str) -> bool:
    with _written_by(apt) as lines:
        return bool(lines.read(1))
