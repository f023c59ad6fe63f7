"""`files`: a folder that the core reads at start and serves from memory, without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def files(
    folder: str | Path,
    *,
    index: str | None = "index.html",
    fallback: bool = False,
    immutable: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    types: Mapping[str, str] | None = None,
) -> plan.Files:
    """Serve what is below a folder when the gateway starts; hidden files are left out.

    Args:
        folder: read once, at start; relative to the working directory.
        index: the file that stands for a folder, None for none.
        fallback: whether the index answers for names that are not there and have no extension, as
            a page with routes of its own needs it.
        immutable: beginnings of names, `"assets/"`, whose files never change under their name:
            clients keep them for a year. All others are asked for again, by their `ETag`.
        headers: sent with each file.
        types: content types by extension, `{"glb": "model/gltf-binary"}`, before those that the
            core knows.

    Raises:
        ValueError: `fallback` without an index, or an extension that no name can end with.
    """
    if fallback and index is None:
        raise ValueError("files falls back to its index, and there is none")
    chosen = {name.removeprefix(".").lower(): kind for name, kind in (types or {}).items()}
    for extension in chosen:
        if not extension or "." in extension or "/" in extension:
            raise ValueError(f"types names extensions, such as 'mp4', found {extension!r}")
    return plan.Files(
        folder=str(folder),
        index=index,
        fallback=fallback,
        immutable=tuple(immutable),
        headers=tuple(headers),
        types=tuple(chosen.items()),
    )
