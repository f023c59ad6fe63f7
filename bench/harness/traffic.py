"""What clients send: the requests of each kind of traffic, and the wrk script that sends them.

Every server is sent the same bytes for the same kind. Sixty-four subjects take turns, each with a
token of its own, so that neither a limiter nor a token cache sees one caller only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = b"peer-bench-secret-0123456789abcdef-0123456789"
SUBJECTS = 64
SCOPES = ("intel:read", "intel:write")
STUDIO_SCOPES = ("intelligence:read", "intelligence:write")
DAY = 86400


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    target: str
    headers: dict[str, str]
    body: str | None = None


def token(
    subject: str,
    *,
    scopes: Sequence[str] = SCOPES,
    lifetime: int = DAY,
    secret: bytes = SECRET,
) -> str:
    """Sign an HS256 token that expires `lifetime` seconds from now."""
    now = int(time.time())
    claims = {
        "sub": subject,
        "exp": now + lifetime,
        "iat": now - 10,
        "scopes": list(scopes),
        "permissions": list(scopes),  # django-bolt reads its guards from this claim
    }
    payload = json.dumps(claims, separators=(",", ":")).encode()
    signed = _base64url(b'{"alg":"HS256","typ":"JWT"}') + b"." + _base64url(payload)
    signature = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + _base64url(signature)).decode()


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def new_entity(number: int, **changes: object) -> str:
    """Write the body of a create request; `changes` replace fields."""
    entity: dict[str, object] = {
        "entity_id": f"ent-{number:06d}-threat-actor",
        "entity_type": "organization",
        "tags": ["apt29", "phishing", "government", "europe", "2026-q1", "high-value"],
    }
    return json.dumps(entity | changes)


def request(kind: str, number: int = 0) -> Request:
    """Make the request of a kind of traffic that subject `number` sends.

    Kinds: `health`, `bare` (one path parameter, no token), `report`, `create`,
    `routes-N` (report requests spread over N routes), `studio-get`, `studio-create` and `basic`.
    """
    if kind == "health":
        return Request("GET", "/health", {})
    if kind == "bare":
        return Request("GET", f"/squares/{number}", {})
    if kind == "basic":  # from the core and from Python in turn
        return Request("GET", f"/squares/{number}" if number % 2 else "/hello", {})
    scopes = STUDIO_SCOPES if kind.startswith("studio-") else SCOPES
    headers = {
        "Origin": "https://app.example.com",
        "Accept": "application/json",
        "Authorization": "Bearer " + token(f"user-{number:04d}", scopes=scopes),
    }
    if kind.endswith("create"):
        headers["Content-Type"] = "application/json"
        return Request("POST", "/api/intelligence/entities", headers, new_entity(number))
    return Request("GET", _target(kind, number), headers)


def _target(kind: str, number: int) -> str:
    if kind.startswith("routes-"):
        route = number * int(kind.removeprefix("routes-")) // SUBJECTS
        return f"/api/system-{route}/report/rep-{number:06d}?limit=10"
    if kind == "studio-get":
        return f"/api/intelligence/entities/ent-{number:06d}-threat-actor"
    return f"/api/intelligence/report/rep-{number:06d}?limit=10"


# What wrk writes when it has ended: one line that `load` reads. Times are microseconds.
_DONE = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT{"requests":%d,"duration_us":%d,"p50":%d,"p95":%d,"p99":%d,"max":%d,'
    .. '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), latency.max, e.connect, e.read, e.write, e.status, e.timeout))
end
"""

# Sends the prepared requests in turn.
_PREPARED = """
local turn = 0
function request()
  turn = turn % #prepared + 1
  return prepared[turn]
end
"""

# Each request creates another entity: the place of the number in the prepared bytes is filled anew.
_NUMBERED = """
local turn, created = 0, tonumber(os.getenv("FIRST_ENTITY") or "0")
function request()
  turn = turn % #prepared + 1
  created = created + 1
  local at = numbered[turn]
  local bytes = prepared[turn]
  return bytes:sub(1, at - 1) .. string.format("%09d", created) .. bytes:sub(at + 9)
end
"""


def script(kind: str) -> str:
    """Write the wrk script of a kind of traffic."""
    lines = ["prepared, numbered = {}, {}", "function init(args)"]
    for number in range(1 if kind == "health" else SUBJECTS):
        sent = request(kind, number)
        body = sent.body
        if kind == "studio-create" and body is not None:
            body = body.replace(f"ent-{number:06d}-", "ent-@@@@@@@@@-")
        lines.append(f"  prepared[#prepared + 1] = wrk.format({_lua(sent, body)})")
        lines.append('  numbered[#prepared] = prepared[#prepared]:find("@@@@@@@@@", 1, true)')
    lines.append("end")
    turns = _NUMBERED if kind == "studio-create" else _PREPARED
    return "\n".join(lines) + turns + _DONE


def _lua(sent: Request, body: str | None) -> str:
    headers = ",".join(
        f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in sent.headers.items()
    )
    text = json.dumps(body) if body is not None else "nil"
    return f"{json.dumps(sent.method)}, {json.dumps(sent.target)}, {{{headers}}}, {text}"
