"""The tenant stands in every pattern of every statement."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nexus_gateway.studio.knowledge_graph.statements import along, owned


def test_nodes_and_edges_are_held_to_the_tenant() -> None:
    text = "MATCH (a:Entity {entity_id: $id})-[r:depends]->(b:Entity)<-[s]-(a) RETURN count(b)"

    statement = owned(text, "acme", id="x")

    assert statement.text == (
        "MATCH (a:Entity {tenant: $tenant, entity_id: $id})-[r:depends {tenant: $tenant}]->"
        "(b:Entity {tenant: $tenant})<-[s {tenant: $tenant}]-(a) RETURN count(b)"
    )
    assert statement.parameters == {"id": "x", "tenant": "acme"}


def test_what_is_kept_beside_nodes_has_another_name_for_its_tenant() -> None:
    assert owned("MATCH (v:Version) RETURN v.until", "acme").text == (
        "MATCH (v:Version {owner: $tenant}) RETURN v.until"
    )


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) RETURN n.name",
        "MATCH (n {entity_id: $id}) RETURN n.name",
        "MATCH (n:Other) RETURN n.name",
        "MATCH (a:Entity)-[r]->() RETURN count(r)",
        "MATCH (a:Entity)-[r]->(b) RETURN count(r)",
        "MATCH (a:Entity), (b) WHERE (b)--(a) RETURN b.name",
    ],
)
def test_a_pattern_that_is_open_to_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a pattern without a label of ours"):
        owned(text, "acme")


def test_a_caller_cannot_name_the_tenant() -> None:
    parameters: dict[str, str] = {"tenant": "evil"}

    with pytest.raises(TypeError):
        owned("MATCH (n:Entity) RETURN n.name", "acme", **parameters)


@pytest.mark.parametrize("name", ["a b", "a`b", "", "a]->(x)", "ä", "1a"])
def test_a_type_that_is_no_word_never_stands_in_a_statement(name: str) -> None:
    with pytest.raises(ValueError, match="is not a type of edges"):
        along([name])


def test_no_other_file_of_the_room_makes_a_statement() -> None:
    room = Path("nexus_gateway/studio/knowledge_graph")
    made = re.compile(r"\bStatement\(")

    makers = [file.name for file in room.glob("*.py") if made.search(file.read_text())]

    # Those of the maintenance are run on both engines by its own tests.
    assert set(makers) - {"query.py", "maintenance.py"} == {"statements.py"}
