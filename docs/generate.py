"""Writes the reference pages that come from the code: errors, environment, command line.

`make docs` runs it; `tests/test_documents.py` fails where a page is not what it writes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from nexus_gateway import cli
from nexus_gateway.describe.reject import KINDS
from nexus_gateway.server.settings import PREFIX, Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REFERENCE = Path(__file__).parent / "reference"
_RETRY = {
    "no": "no",
    "changed": "once it is changed",
    "later": "later",
}


def pages() -> Mapping[str, str]:
    """Write every page; by its file's name."""
    return {
        "command-line.md": _page(
            "Command line",
            "`nexus-gateway`, or `python -m nexus_gateway`. Exit codes: 0 done, 1 failed, 2 refused"
            " or wrong usage.",
            _commands(),
        ),
        "environment.md": _page(
            "Environment",
            "Every setting is optional. A TOML file given by `--config` or `NEXUS_CONFIG` holds the"
            " same keys in lower case without the prefix; code wins over"
            " the environment, and the environment over the file. An unknown key of the file, or a"
            " value that is not what it must be, is an error that names the key and the line.",
            _settings(),
        ),
        "errors.md": _page(
            "Error codes",
            "Every refusal has one of these codes; clients may branch on them. The status is the"
            " usual one. [What an error looks like](../concepts/errors.md) is explained apart.",
            _errors(),
        ),
    }


def _page(title: str, opening: str, lines: Iterator[str]) -> str:
    note = "<!-- Written by `make docs` from the code; edit that. -->"
    return "\n".join([f"# {title}", "", note, "", opening, "", *lines]).rstrip() + "\n"


def _errors() -> Iterator[str]:
    yield from _table(
        ("code", "status", "means", "send again"),
        *((f"`{k.code}`", str(k.status), k.sentence, _RETRY[k.retry]) for k in KINDS),
    )
    for kind in KINDS:
        yield from ("", f"## {kind.code}", "", kind.advice)


def _settings() -> Iterator[str]:
    said = dict(re.findall(r"^ +(\w+): (.+)$", Settings.__doc__ or "", flags=re.MULTILINE))
    yield from _table(
        ("variable", "default", "what"),
        *(
            (f"`{PREFIX}{field.name.upper()}`", _default(field), said[field.name])
            for field in msgspec.structs.fields(Settings)
        ),
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value in (None, (), "") or isinstance(value, Secret):
        return "none" if field.name != "host" else "by `NEXUS_ENV`"
    return f"`{value}`"


def _commands() -> Iterator[str]:
    for name, command in _walk(typer.main.get_command(cli.app), ""):
        yield from (f"## {name}", "", (command.help or "").strip(), "")
        yield from _table(("argument", "default", "what"), *_parameters(command))
        yield ""


def _walk(command: object, name: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for key, inner in command.commands.items():
            yield from _walk(inner, f"{name} {key}".strip())
    elif isinstance(command, TyperCommand):
        yield name, command


def _parameters(command: TyperCommand) -> Iterator[tuple[str, str, str]]:
    for parameter in command.params:
        if isinstance(parameter, TyperArgument):
            shown = parameter.metavar or parameter.name or ""
        elif isinstance(parameter, TyperOption):
            shown = ", ".join(parameter.opts)
        else:
            continue
        default = "needed" if parameter.required else _written(parameter.default)
        yield f"`{shown}`", default, parameter.help or ""


def _written(default: object) -> str:
    return "none" if default in (None, False, "", ()) else f"`{default}`"


def _table(head: tuple[str, ...], *rows: tuple[str, ...]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def main() -> None:
    """Write the pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
