"""The machine and the programs of a run, written as the first line of its result file."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec

from harness import places

_CRATES = {"warp", "actix-web", "axum", "hyper", "tokio", "tungstenite"}
_PACKAGES = {"granian", "django-bolt", "fastapi", "uvicorn", "uvloop", "pyjwt", "msgspec"}
_PACKAGES |= {"socketify", "websockets", "robyn", "cello-framework", "django"}


class Environment(msgspec.Struct, frozen=True, kw_only=True, tag="environment", tag_field="kind"):
    """Where, when and with what a run was made; `peers` maps a program to its version."""

    command: str
    date: str
    commit: str
    processor: str
    processors: int
    memory_gb: float
    kernel: str
    system: str
    python: str
    peers: dict[str, str]


class _Package(msgspec.Struct, frozen=True):
    version: str = ""


class _Lock(msgspec.Struct, frozen=True):
    packages: dict[str, _Package]


def environment() -> Environment:
    """Describe this machine and this run."""
    return Environment(
        command=shlex.join(["bench/bench.py", *sys.argv[1:]]),
        date=time.strftime("%Y-%m-%d %H:%M %Z"),
        commit=_output("git", "describe", "--always", "--dirty"),
        processor=_line_of("/proc/cpuinfo", "model name"),
        processors=os.cpu_count() or 0,
        memory_gb=round(int(_line_of("/proc/meminfo", "MemTotal").split()[0]) / 1e6, 1),
        kernel=platform.release(),
        system=_line_of("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        python=_output(str(places.PYTHON), "--version").removeprefix("Python "),
        peers=_tools() | _crates() | _packages(),
    )


def _tools() -> dict[str, str]:
    nginx = re.search(r"nginx/(\S+)", _output("nginx", "-v"))
    wrk = re.search(r"wrk (\S+)", _output("wrk", "-v"))
    rust = _output("rustc", "--version").split()
    return {
        "wrk": wrk[1] if wrk else "",
        "nginx": nginx[1] if nginx else "",
        "rustc": rust[1] if len(rust) > 1 else "",
        "node": _output("node", "--version").removeprefix("v"),
        "ws": _node_package("ws"),
    }


def _node_package(name: str) -> str:
    lock = places.BENCH / "servers" / "ws_node" / "package-lock.json"
    packages = msgspec.json.decode(lock.read_bytes(), type=_Lock).packages
    return packages[f"node_modules/{name}"].version


def _crates() -> dict[str, str]:
    lock = tomllib.loads((places.BENCH / "servers" / "Cargo.lock").read_text())
    return {p["name"]: p["version"] for p in lock["package"] if p["name"] in _CRATES}


def _packages() -> dict[str, str]:
    versions: dict[str, str] = {}
    for file in (places.BENCH / "servers").glob("requirements-*.txt"):
        for line in file.read_text().splitlines():
            name, _, version = line.partition("==")
            if name in _PACKAGES:
                versions[name] = version
    return versions


def _line_of(file: str, name: str, separator: str = ":") -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return ""


def _output(*command: str) -> str:
    """Run a program; give both of its outputs, as several print their version to the second."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, cwd=places.REPOSITORY
        )
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip()
