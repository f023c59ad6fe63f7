"""Translates openCypher's TCK into `tck.json`: its reading scenarios that need no graph.

python -m tests.studio.knowledge_graph.cypher.translate_tck FOLDER_OF_FEATURES

Scenarios with a graph, with an outline or with values other than data are left out.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TABLE = re.compile(r"^\s*\|(.*)\|\s*$")
QUERY = re.compile(r'When executing query:\s*"""\n(.*?)\n\s*"""', re.DOTALL)
KEY = re.compile(r"([{,]\s*)(\w+):")
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")


def value(text: str) -> object:
    """Read a value of a table as JSON.

    Raises:
        ValueError: it is not data.
    """
    # Tables escape backslashes, and texts do so again.
    parts = QUOTED.split(text.replace("\\\\", "\\"))
    parts[::2] = [KEY.sub(r'\1"\2":', part) for part in parts[::2]]
    parts[1::2] = [json.dumps(re.sub(r"\\(.)", r"\1", part)) for part in parts[1::2]]
    return json.loads("".join(parts))


def scenario(body: str) -> dict[str, object] | None:
    """Read one scenario; none where it is left out."""
    found = QUERY.search(body)
    if found is None or "having executed" in body or "parameters are" in body:
        return None
    if (
        body.count("When executing") > 1
        or "there exists a procedure" in body
        or "binary-tree" in body
    ):
        return None
    query = " ".join(line.strip() for line in found[1].splitlines())
    if re.search(r"\b(CREATE|MERGE|SET|DELETE|REMOVE|CALL)\b", query):
        return None
    then = body[found.end() :]
    if "should be raised" in then:
        return {"query": query, "error": True}
    table = [m[1] for line in then.splitlines() if (m := TABLE.match(line))]
    try:
        cells = [[value(c.strip()) for c in re.split(r"(?<!\\)\|", row)] for row in table[1:]]
    except ValueError:
        return None
    return {"query": query, "rows": cells, "ordered": "in order" in then}


def main() -> None:
    """Translate every feature of a folder."""
    root, found = Path(sys.argv[1]), dict[str, object]()
    for path in sorted(root.rglob("*.feature")):
        if "temporal" in path.parts:
            continue
        text = path.read_text()
        for part in [] if "Background:" in text else re.split(r"\n\s*Scenario: ", text)[1:]:
            own = re.split(r"\n\s*(?:@|Scenario Outline: )", part)[0]
            if (one := scenario(own)) is not None:
                found[f"{path.stem} {own.splitlines()[0]}"] = one
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items())
    Path(__file__).with_name("tck.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
