"""Whether a server does the work that it is measured for: its good answers, and each refusal.

A server that skips a check is fast and proves nothing, so every server is verified before load.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

from harness.traffic import SCOPES, STUDIO_SCOPES, SUBJECTS, Request, new_entity, request, token

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from harness.servers import Server

SUBJECT = 7
_LIMITED = {"report": 20, "create": 30}
REPORT = {"limit": 10, "tags": ["apt", "phishing", "malware", "c2"], "score": 0.8731}
ADDED_HEADERS = ("x-request-id", "traceparent", "access-control-allow-origin")


def verify(server: Server, kinds: Iterable[str]) -> list[str]:
    """Send good and bad requests of each kind of traffic; list what is wrong with the answers."""
    wrong: list[str] = []
    for kind in kinds:
        wrong += _good(server, kind)
        if kind not in {"health", "bare", "basic"} and not server.spec.unchecked:
            wrong += _refusals(server, kind)
        if kind.endswith("create") and not server.spec.constant:
            wrong += _bad_bodies(server, kind)
    return wrong


def verify_limit(server: Server, kind: str) -> list[str]:
    """Check that a server started with `LIMIT=1` refuses the one subject that asks again."""
    subject = _LIMITED[kind]  # the peers count all routes of a subject together
    statuses = [server.call(request(kind, subject)).status for _ in range(4)]
    other = server.call(request(kind, subject + 1)).status
    wrong: list[str] = []
    if 429 not in statuses[1:] or statuses[0] == 429:
        wrong.append(f"{kind}, limit of one a second: {statuses}, without a 429 after the first")
    if other == 429:
        wrong.append(f"{kind}, limit of one a second: another subject was refused as well")
    return wrong


def _good(server: Server, kind: str) -> list[str]:
    if kind == "basic":
        squared = {"number": SUBJECT, "square": SUBJECT * SUBJECT}
        hello = _expect(server, kind, request(kind), (200,), {"message": "hello"})
        return hello + _expect(server, kind, request(kind, SUBJECT), (200,), squared)
    if kind == "bare":
        squared = {"number": SUBJECT, "square": SUBJECT * SUBJECT}
        return _expect(server, kind, request(kind, SUBJECT), (200,), squared)
    if kind == "health":
        return _expect(server, kind, request(kind), (200,), {"status": "ok"})
    if kind.startswith("studio-"):
        return _good_entity(server, kind)
    sent = request(kind, SUBJECT)
    wrong = _headers(server, kind, sent)
    if kind == "create":
        created = {"entity_id": f"ent-{SUBJECT:06d}-threat-actor", "owner": f"user-{SUBJECT:04d}"}
        return wrong + _expect(server, kind, sent, (201,), created)
    identity = {} if server.spec.constant else {"id": f"rep-{SUBJECT:06d}"}
    return wrong + _expect(server, kind, sent, (200,), REPORT | identity)


def _good_entity(server: Server, kind: str) -> list[str]:
    """Read one of the entities that were created before, or create one that was not."""
    create = kind == "studio-create"
    number = SUBJECTS + SUBJECT if create else SUBJECT
    expected = {} if server.spec.constant else {"entity_id": f"ent-{number:06d}-threat-actor"}
    return _expect(server, kind, request(kind, number), (201,) if create else (200,), expected)


def _refusals(server: Server, kind: str) -> list[str]:
    scopes = STUDIO_SCOPES if kind.startswith("studio-") else SCOPES
    cases = {
        "no token": (None, 401),
        "another key": (token("u", scopes=scopes, secret=b"x" * 40), 401),
        "expired": (token("u", scopes=scopes, lifetime=-3600), 401),
        "no scope": (token("u", scopes=("other:read",)), 403),
    }
    wrong: list[str] = []
    for name, (credential, status) in cases.items():
        sent = _with_token(request(kind, SUBJECT), credential)
        wrong += _expect(server, f"{kind}, {name}", sent, (status,))
    return wrong


def _bad_bodies(server: Server, kind: str) -> list[str]:
    bodies = {"missing fields": '{"entity_type":"person"}', "not JSON": "{"}
    if kind == "create":
        bodies["not one of the types"] = new_entity(SUBJECT, entity_type="wizard")
    wrong: list[str] = []
    for name, body in bodies.items():
        sent = request(kind, SUBJECT)._replace(body=body)
        wrong += _expect(server, f"{kind}, {name}", sent, (400, 422))
    return wrong


def _with_token(sent: Request, credential: str | None) -> Request:
    headers = {name: value for name, value in sent.headers.items() if name != "Authorization"}
    if credential:
        headers["Authorization"] = "Bearer " + credential
    return sent._replace(headers=headers)


def _expect(
    server: Server,
    what: str,
    sent: Request,
    statuses: tuple[int, ...],
    fields: Mapping[str, object] | None = None,
) -> list[str]:
    try:
        answer = server.call(sent)
    except (OSError, http.client.HTTPException) as error:
        return [f"{what}: {error!r}"]
    if answer.status not in statuses:
        return [f"{what}: {answer.status}, not {statuses}: {answer.body[:80]!r}"]
    if not fields:
        return []
    try:
        found = json.loads(answer.body)
    except ValueError:
        return [f"{what}: not JSON: {answer.body[:80]!r}"]
    return [
        f"{what}: {name} is {found.get(name)!r}, not {value!r}"
        for name, value in fields.items()
        if found.get(name) != value
    ]


def _headers(server: Server, kind: str, sent: Request) -> list[str]:
    answer = server.call(sent)
    added = ADDED_HEADERS[2:] if server.spec.without_ids else ADDED_HEADERS
    wrong = [f"{kind}: no {name} header" for name in added if name not in answer.headers]
    if not 220 <= len(answer.body) <= 300:
        wrong.append(f"{kind}: body of {len(answer.body)} bytes")
    return wrong
