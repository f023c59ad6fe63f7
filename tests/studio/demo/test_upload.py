"""`nexus-gateway import`: a file through a real gateway, refused lines named as in the file."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import msgspec
import pytest
from typer.testing import CliRunner

from nexus_gateway.cli import app
from nexus_gateway.server import Server
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.demo import import_file, upload
from nexus_gateway.studio.demo.loader import Sender
from nexus_gateway.studio.demo.upload import Piece

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_gateway.server.settings import Settings


def lines(count: int) -> bytes:
    rows = ({"entity_id": f"e{number}", "entity_type": "tool"} for number in range(count))
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


async def test_a_file_is_imported_piece_by_piece_and_refused_lines_are_named(
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(upload, "PIECE", 1000)
    file = tmp_path / "entities.ndjson"
    file.write_bytes(lines(200) + b"wrong\n" + lines(3).rstrip())

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        host, port = server.addresses[0]

        def run() -> int:
            return import_file(file, url=f"http://{host}:{port}", token=None, settings=settings)

        refused = await asyncio.to_thread(run)

    told = capsys.readouterr().out
    assert refused == 1
    assert "entities.ndjson:201: not JSON" in told
    assert "204 entities in" in told
    assert "200 created, 0 updated, 3 unchanged, 1 refused" in told


def test_pieces_are_whole_lines_with_the_number_of_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload, "PIECE", 4)

    cut = list(upload.pieces(io.BytesIO(b"a\nb\ncccccc\nd\ne")))

    assert cut == [Piece(0, b"a\nb\n"), Piece(2, b"cccccc\n"), Piece(3, b"d\ne")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a\nbb" + b"x" * 50, [Piece(0, b"a\n"), Piece(1, b"", 52)]),
        (b"a\nbb" + b"x" * 50 + b"\nc\n", [Piece(0, b"a\n"), Piece(1, b"", 52), Piece(2, b"c\n")]),
        (b"x" * 14 + b"\nc", [Piece(0, b"", 14), Piece(1, b"c")]),
        (b"x" * 13 + b"\nc", [Piece(0, b"x" * 13 + b"\n"), Piece(1, b"c")]),
    ],
)
def test_a_line_that_is_too_long_is_left_out_alone(
    monkeypatch: pytest.MonkeyPatch, text: bytes, expected: list[Piece]
) -> None:
    monkeypatch.setattr(upload, "PIECE", 4)
    monkeypatch.setattr(upload, "LINE", 10)

    assert list(upload.pieces(io.BytesIO(text))) == expected


async def test_a_line_of_seven_mebibytes_is_refused_and_the_others_are_kept(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "entities.ndjson"
    text = "x" * (7 << 20)
    long = msgspec.json.encode({"entity_id": "long", "entity_type": "tool", "name": text})
    file.write_bytes(lines(3) + long + b"\n" + lines(5))

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        host, port = server.addresses[0]
        refused = await asyncio.to_thread(
            import_file, file, url=f"http://{host}:{port}", token=None, settings=settings
        )

    said = capsys.readouterr().out
    assert refused == 1
    assert "entities.ndjson:4: a line has at most 2097152 bytes, this one 7340" in said
    assert "5 created, 0 updated, 3 unchanged, 1 refused" in said


def test_a_file_that_is_missing_is_told_in_a_sentence(tmp_path: Path) -> None:
    environment = {"NEXUS_DATA_DIR": str(tmp_path)}

    result = CliRunner().invoke(app, ["import", str(tmp_path / "none")], env=environment)

    assert result.exit_code == 1
    assert "cannot be read" in result.output


async def test_a_file_with_a_byte_order_mark_is_imported(
    tmp_path: Path, settings: Settings
) -> None:
    file = tmp_path / "entities.ndjson"
    file.write_bytes(b"\xef\xbb\xbf" + lines(3))

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        host, port = server.addresses[0]
        refused = await asyncio.to_thread(
            import_file, file, url=f"http://{host}:{port}", token=None, settings=settings
        )

    assert refused == 0


@pytest.mark.parametrize("changed", [{"lines": 2}, {"complete": False}])
def test_lines_that_the_gateway_does_not_confirm_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    file = tmp_path / "entities.ndjson"
    file.write_bytes(lines(3) + b" \n")
    told: dict[str, object] = {
        "lines": 3,
        "created": 3,
        "updated": 0,
        "unchanged": 0,
        "refused": 0,
        "refusals": [],
        **changed,
    }

    def deliver(self: Sender, content: bytes, content_type: str) -> bytes:
        return msgspec.json.encode(told)

    monkeypatch.setattr(Sender, "deliver", deliver)
    environment = {"NEXUS_DATA_DIR": str(tmp_path)}

    result = CliRunner().invoke(app, ["import", str(file)], env=environment)

    assert result.exit_code == 1
    assert "of 3 lines from line 1 on, the gateway confirmed" in result.output
