"""Translates openCypher's TCK into `tck.json`: its reading scenarios, with the graphs they need.

python -m tests.studio.knowledge_graph.cypher.translate_tck FOLDER_OF_THE_TCK

`left_out` counts what is not translated, by reason: queries that write, values that are not data,
and graphs that the model of nodes and edges cannot express.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<number>-?(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<word>[^\W\d]\w*|`[^`]+`)|(?P<sign>->|<-|[-<>()\[\]{}:,=|]))"
)
WRITES = re.compile(r"\b(CREATE|MERGE|SET|DELETE|REMOVE|CALL)\b")
RESERVED = frozenset(
    [
        "entity_id",
        "entity_type",
        "tags",
        "aliases",
        "origin",
        "valid_from",
        "valid_to",
        "created_at",
        "created_by",
        "updated_at",
        "updated_by",
        "revision",
        "attributes",
        "tenant",
        "edge_id",
        "key",
        "source",
        "target",
        "type",
    ]
)
"""Names of properties that the model gives a meaning of its own."""
UNLABELLED = "unlabelled"
"""The type of nodes that have no label in the TCK."""


class LeftOut(Exception):  # noqa: N818  # a decision, not a failure
    """Say why a scenario is not translated."""


@dataclass
class Step:
    """A step of a scenario with its text or table."""

    says: str
    text: str = ""
    table: list[list[str]] = field(default_factory=list[list[str]])

    def with_values(self, values: dict[str, str]) -> Step:
        """Put the values of an example into it."""

        def put(text: str) -> str:
            for name, value in values.items():
                text = text.replace(f"<{name}>", value)
            return text

        table = [[put(cell) for cell in row] for row in self.table]
        return Step(put(self.says), put(self.text), table)


def cells(line: str) -> list[str]:
    """Split a row of a table; a backslash escapes a bar and a backslash."""
    found = re.findall(r"((?:[^|\\]|\\.)*)\|", line.strip()[1:])
    return [re.sub(r"\\([|\\])", r"\1", cell).strip() for cell in found]


def scenarios(  # noqa: C901  # a line of each form
    text: str,
) -> Iterator[tuple[str, list[Step]]]:
    """Read the scenarios of a feature; an outline gives one for each example."""
    title, steps, examples = "", list[Step](), list[list[str]]()
    background, in_examples = list[Step](), False
    quoted: list[str] | None = None

    def done() -> Iterator[tuple[str, list[Step]]]:
        if title and examples:
            for number, row in enumerate(examples[1:], 1):
                values = dict(zip(examples[0], row, strict=True))
                yield f"{title} #{number}", [one.with_values(values) for one in steps]
        elif title:
            yield title, list(steps)

    for line in [*text.splitlines(), "Scenario: "]:
        bare = line.strip()
        if bare == '"""':
            if quoted is not None:
                steps[-1].text = "\n".join(quoted)
            quoted = [] if quoted is None else None
        elif quoted is not None:
            quoted.append(bare)
        elif found := re.match(r"(Scenario(?: Outline)?|Background):\s*(.*)", bare):
            if title == "Background":
                background = steps
            else:
                yield from done()
            title = found[2] if found[1] != "Background" else "Background"
            steps, examples, in_examples = list(background), [], False
        elif bare.startswith("Examples:"):
            in_examples = True
        elif bare.startswith("|"):
            if not in_examples:
                steps[-1].table.append(cells(bare))
            elif not examples or cells(bare) != examples[0]:
                examples.append(cells(bare))
        elif found := re.match(r"(?:Given|And|When|Then|But) (.*)", bare):
            steps.append(Step(found[1]))


class Reader:
    """Reads values and patterns."""

    def __init__(self, text: str, why: str) -> None:
        self.why = why
        self.tokens: list[tuple[str, str]] = []
        at, text = 0, text.rstrip().rstrip(";")
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise LeftOut(why)
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.tokens.append(("end", ""))

    @property
    def ended(self) -> bool:
        return self.tokens[0][0] == "end"

    def take(self) -> tuple[str, str]:
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]

    def skip(self, sign: str) -> bool:
        if self.tokens[0] == ("sign", sign):
            self.take()
            return True
        return False

    def sign(self, sign: str) -> None:
        if not self.skip(sign):
            raise LeftOut(self.why)

    def word(self) -> str:
        sort, text = self.take()
        if sort != "word":
            raise LeftOut(self.why)
        return text.strip("`")

    def value(self) -> object:  # noqa: PLR0911  # one for each form
        """Read data, or a node, an edge or a path as a map with one key."""
        sort, text = self.tokens[0]
        if sort == "sign":
            match text:
                case "[" if self.tokens[1] == ("sign", ":"):
                    return {"~edge": list(self.edge()[1:])}
                case "[":
                    return list(self.listed())
                case "{":
                    return self.map()
                case "(":
                    return {"~node": list(self.node()[1:])}
                case "<":
                    return {"~path": self.path()}
                case _:
                    raise LeftOut(self.why)
        self.take()
        if sort == "number":
            return int(text) if text.lstrip("-").isdigit() else float(text)
        if sort == "text":
            escapes = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
            return re.sub(r"\\(.)", lambda m: escapes.get(m[1], m[1]), text[1:-1])
        if (known := {"null": None, "true": True, "false": False}.get(text.lower(), self)) is self:
            raise LeftOut(self.why)
        return known

    def listed(self) -> Iterator[object]:
        self.sign("[")
        while not self.skip("]"):
            yield self.value()
            if self.tokens[0] != ("sign", "]"):
                self.sign(",")

    def map(self) -> dict[str, object]:
        found = dict[str, object]()
        self.sign("{")
        while not self.skip("}"):
            name = self.word()
            self.sign(":")
            found[name] = self.value()
            if self.tokens[0] != ("sign", "}"):
                self.sign(",")
        return found

    def node(self) -> tuple[str, str, dict[str, object]]:
        """Read a node: its name, its label and its properties."""
        self.sign("(")
        name = self.word() if self.tokens[0][0] == "word" else ""
        labels = list[str]()
        while self.skip(":"):
            labels.append(self.word())
        properties = self.map() if self.tokens[0] == ("sign", "{") else {}
        self.sign(")")
        if len(labels) > 1:
            raise LeftOut("a node with several labels")
        return name, labels[0] if labels else "", properties

    def edge(self) -> tuple[str, str, dict[str, object]]:
        """Read what stands in the brackets of an edge."""
        self.sign("[")
        name = self.word() if self.tokens[0][0] == "word" else ""
        self.sign(":")
        kind = self.word()
        properties = self.map() if self.tokens[0] == ("sign", "{") else {}
        self.sign("]")
        return name, kind, properties

    def path(self) -> list[object]:
        """Read `<(:A)-[:T]->(:B)>` as nodes and edges in turn, each edge with its direction."""
        self.sign("<")
        found: list[object] = [list(self.node()[1:])]
        while not self.skip(">"):
            back = self.skip("<-")
            if not back:
                self.sign("-")
            found.append([*self.edge()[1:], "in" if back else "out"])
            self.sign("-" if back else "->")
            found.append(list(self.node()[1:]))
        return found


class Setup:
    """A graph that CREATE clauses with literals make."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, object]] = []
        self.edges: list[dict[str, object]] = []

    def execute(self, text: str) -> None:
        """Read CREATE clauses of one query."""
        reader = Reader(re.sub(r"//.*", "", text), "a set-up other than CREATE with literals")
        names = dict[str, str]()
        while not reader.ended:
            if reader.word().upper() != "CREATE":
                raise LeftOut(reader.why)
            self._pattern(reader, names)
            while reader.skip(","):
                self._pattern(reader, names)

    def _pattern(self, reader: Reader, names: dict[str, str]) -> None:
        last = self._node(reader, names)
        while reader.tokens[0] in (("sign", "-"), ("sign", "<-")):
            back = reader.take()[1] == "<-"
            _, kind, properties = reader.edge()
            reader.sign("-" if back else "->")
            node = self._node(reader, names)
            source, target = (node, last) if back else (last, node)
            draft: dict[str, object] = {"source": source, "target": target, "type": kind}
            same = [e for e in self.edges if [e[k] for k in draft] == [*draft.values()]]
            if same:
                draft["key"] = str(len(same))
            if attributes := self._attributes(properties):
                draft["attributes"] = attributes
            self._check(draft, EdgeDraft)
            self.edges.append(draft)
            last = node

    def _node(self, reader: Reader, names: dict[str, str]) -> str:
        name, label, properties = reader.node()
        if name in names:
            return names[name]
        entity_id = f"n{len(self.nodes)}"
        draft: dict[str, object] = {"entity_id": entity_id, "entity_type": label or UNLABELLED}
        if "name" in properties and properties["name"] is not None:
            draft["name"] = properties.pop("name")
        if attributes := self._attributes(properties):
            draft["attributes"] = attributes
        self._check(draft, NodeDraft)
        self.nodes.append(draft)
        if name:
            names[name] = entity_id
        return entity_id

    @staticmethod
    def _attributes(properties: dict[str, object]) -> dict[str, object]:
        for name in properties:
            if name in RESERVED or rows.property_of(name) is None:
                raise LeftOut("a property that the model does not have")
        return {name: value for name, value in properties.items() if value is not None}

    @staticmethod
    def _check(draft: dict[str, object], kind: type[NodeDraft | EdgeDraft]) -> None:
        try:
            msgspec.convert(draft, kind)
        except msgspec.ValidationError as error:
            raise LeftOut("a value that the model does not have") from error


def translated(  # noqa: C901, PLR0912  # a step of each form
    steps: list[Step], root: Path
) -> dict[str, object]:
    """Translate a scenario.

    Raises:
        LeftOut: it is not one of those that can be.
    """
    setup, found = Setup(), dict[str, object]()
    for step in steps:
        says = step.says
        if "procedure" in says:
            raise LeftOut("a query with CALL")
        if graph := re.match(r"the (binary-tree-\d) graph", says):
            setup.execute((root / "graphs" / graph[1] / f"{graph[1]}.cypher").read_text())
        elif says.startswith("having executed"):
            setup.execute(step.text)
        elif says.startswith("parameters are"):
            found["parameters"] = {
                name: Reader(cell, "a parameter that is not data").value()
                for name, cell in step.table
            }
        elif says.startswith("executing"):
            if "query" in found:
                raise LeftOut("several queries")
            if WRITES.search(step.text):
                raise LeftOut("a query that writes or calls")
            found["query"] = " ".join(step.text.split("\n"))
        elif "should be raised" in says:
            found["error"] = True
        elif says.startswith("the result should be empty"):
            # The columns of an empty result are not said.
            found |= {"columns": None, "rows": []}
        elif says.startswith("the result should be"):
            found["columns"] = step.table[0]
            found["rows"] = [
                [Reader(cell, "an expected value that is not data").value() for cell in row]
                for row in step.table[1:]
            ]
            if ", in order" in says:
                found["ordered"] = True
            if "ignoring element order" in says:
                found["lists_unordered"] = True
    if setup.nodes:
        found["graph"] = {"nodes": setup.nodes, "edges": setup.edges}
    return found


def main() -> None:
    """Translate every feature of a folder."""
    root, found, left_out = Path(sys.argv[1]), dict[str, object](), Counter[str]()
    graphs = dict[str, int]()
    for path in sorted(root.rglob("*.feature")):
        for title, steps in scenarios(path.read_text()):
            if "temporal" in path.parts:
                left_out["temporal values"] += 1
                continue
            try:
                one = translated(steps, root)
            except LeftOut as error:
                left_out[str(error)] += 1
                continue
            if (graph := one.pop("graph", None)) is not None:
                one["graph"] = graphs.setdefault(json.dumps(graph), len(graphs))
            found[f"{path.stem} {title}"] = one
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
    made = ",\n".join(f"  {graph}" for graph in graphs)
    Path(__file__).with_name("tck.json").write_text(
        f'{{\n"left_out": {json.dumps(dict(sorted(left_out.items())))},\n'
        f'"graphs": [\n{made}\n],\n"scenarios": {{\n{lines}\n}}\n}}\n'
    )


if __name__ == "__main__":
    main()
