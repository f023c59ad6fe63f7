"""The documents: their Python runs, their links lead somewhere, their reference is the code's.

The fences of a page run in order as one module, each after what the page has said before it. What a
page calls `routes` or `application` is then compiled by the real core. A fence marked `no-run` is
only compiled.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from nexus_gateway import Route, Routes
from nexus_gateway.server import Application
from nexus_gateway.testing import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```python( no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
WITH_PYTHON = [page for page in PAGES if FENCE.search(page.read_text(encoding="utf-8"))]


def name_of(page: object) -> str:
    assert isinstance(page, Path)
    return str(page.relative_to(ROOT))


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """Make a module that types of a page can be looked up in, as those of a file are."""
    made = ModuleType("page")
    sys.modules["page"] = made
    yield made
    del sys.modules["page"]


def fences(page: Path) -> Iterator[tuple[str, bool]]:
    """Give the programs of a page, each on the lines that it has there, and whether it runs."""
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        before = text.count("\n", 0, fence.start(2))
        yield "\n" * before + fence[2], fence[1] is None


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_the_python_of_a_page_runs_and_its_routes_are_served(
    page: Path, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    for program, runs in fences(page):
        code = compile(program, str(page), "exec")
        if runs:
            exec(code, module.__dict__)

    served: object = getattr(module, "application", getattr(module, "routes", None))
    if isinstance(served, Application | Routes | Route):
        with Client(served):
            pass


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


def test_the_readme_shows_the_first_example_as_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert (ROOT / "examples" / "basic_server.py").read_text(encoding="utf-8") in readme


def written() -> Mapping[str, str]:
    """Ask `docs/generate.py` for the pages of the reference."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    pages: Mapping[str, str] = generate.pages()
    return pages


@pytest.mark.parametrize(("name", "text"), written().items(), ids=lambda value: value[:20])
def test_the_reference_is_what_the_code_says(name: str, text: str) -> None:
    page = ROOT / "docs" / "reference" / name

    assert page.read_text(encoding="utf-8") == text, "run `make docs`"


def test_the_environment_that_the_readme_names_exists() -> None:
    reference = written()["environment.md"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    named = set(re.findall(r"`(NEXUS_[A-Z0-9_]+)`", readme))

    assert {name for name in named if f"`{name}`" not in reference} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_installs_a_distribution_of_someone_else(page: Path) -> None:
    """The name `nexus-gateway` on PyPI, and the scope `@nexus` on npm, are not this project's."""
    text = page.read_text(encoding="utf-8")

    assert not re.search(r"\b(?:pip install|uv add|uvx|pipx \w+)\b[^\n]*\bnexus-gateway\b", text)
    assert "@nexus/" not in text


def test_the_distribution_has_a_name_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["name"] == "nexus-warp-gateway"
    assert list(project["scripts"]) == ["nexus-gateway"]
