"""Errors of users as short messages: where in their code, and what; and the standard streams.

A command must not end in a traceback for what its user wrote wrongly.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from types import TracebackType

_PACKAGE = str(Path(__file__).parent.parent)
_MACHINERY = ("<frozen ", str(Path(importlib.__file__).parent))


class UserError(Exception):
    """What the user's own code did wrong; the message names file and line."""


def describe(error: BaseException) -> str:
    """Say what was raised and where: `own.py:3: ZeroDivisionError: division by zero`."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, text = f"{error.filename}:{error.lineno}", error.msg
    else:
        place, text = _place(error.__traceback__), str(error)
    what = type(error).__name__
    if isinstance(error, SystemExit):
        what, text = f"sys.exit({error.code!r}) was called", ""
    return ": ".join(part for part in (place, what, text) if part)


def _place(trace: TracebackType | None) -> str:
    """Find the innermost line of the user's code: not of this package, nor of importlib."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith((_PACKAGE, *_MACHINERY))
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def import_attribute(target: str) -> object:
    """Import `module:attribute` from the working directory or an installed package.

    Raises:
        UserError: it does not exist, or its import raised; the message names file and line.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise UserError(f"{target!r} is not of the form module:attribute")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
        return cast("object", getattr(module, attribute))
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"{target}: {error}; looked in {folder} and the packages") from error
        raise UserError(f"{target}: {describe(error)}") from error
    except BaseException as error:
        raise UserError(f"{target}: {describe(error)}") from error


# --- the standard streams ---


def open_standard_streams() -> None:
    """Put `/dev/null` where a standard stream is closed, so that no other file takes its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = cast("TextIO | None", getattr(sys, name))
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # stays open
        elif mode == "w" and isinstance(stream, TextIOWrapper):
            # Names of files may hold bytes that are not UTF-8.
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> str | None:
    """Write what is left of the output; why it cannot be written, or None."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        # The interpreter would try again at its end, and report it as an unknown error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return getattr(error, "strerror", None) or str(error)
    return None
