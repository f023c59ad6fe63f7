"""Whether a disk has room: what is embedded writes files, and says in time that it cannot."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from pathlib import Path

LEAST = 1 << 20
"""Bytes that have to be free: with fewer, some writes are kept and others not."""


def check_room(file: Path) -> None:
    """See that the disk of a file is not full.

    Raises:
        StorageUnavailable: it is.
    """
    try:
        found = os.statvfs(file.parent)
    except OSError as error:
        raise StorageUnavailable(f"the disk of {file}: {error.strerror}") from error
    if found.f_bavail * found.f_frsize < LEAST:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise StorageUnavailable(f"the disk of {file} is full") from full
