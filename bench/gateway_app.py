"""The pipeline of the peers as a program of this gateway.

`ANSWER=native` answers the report from the core, `ANSWER=python` from a handler; `TOKEN_CACHE` is
how many verified tokens are remembered; `ROUTES` adds so many routes with the report's filters;
`EAGER=0` makes a task for each call; `LIMIT` is how many requests a subject may send
at once and per second.
"""

from __future__ import annotations

import os

from bodies_msgspec import Entity, NewEntity, Report, entity, report

from nexus_gateway import (
    Claims,
    Filter,
    Path,
    Response,
    Route,
    Routes,
    auth,
    body,
    cors,
    created,
    get,
    param,
    path,
    post,
    query,
    rate_limit,
    require,
)
from nexus_gateway.plan import Key, Layers, Tokens
from nexus_gateway.server import Application, serve

SECRET = b"peer-bench-secret-0123456789abcdef-0123456789"
LIMIT_OF_SUBJECT = int(os.environ.get("LIMIT", "100000000"))
CONSTANT = report("rep-000001", 10)

REPORT_ID = param("report_id", str)
LIMIT = query("limit", int, default=10)

intelligence = path("api/intelligence")


def admitted() -> Filter[()]:
    """Limit each subject; the limit under load is one that nobody reaches."""
    return rate_limit(per_second=LIMIT_OF_SUBJECT, burst=LIMIT_OF_SUBJECT, by="subject")


async def show(report_id: str, limit: int, claims: Claims) -> Report:
    """Make a report."""
    del claims  # as in the peers: verified and handed over, not looked at
    return report(report_id, limit)


async def create(claims: Claims, new: NewEntity) -> Response[Entity]:
    """Make an entity of the caller's."""
    return created(entity(new, claims.subject))


def answered(reports: Path[()]) -> Route:
    """Answer reports below a path from the core."""
    chain = reports / REPORT_ID & get() & LIMIT & require(scope="intel:read") & admitted()
    return chain.answer(CONSTANT)


def handled(reports: Path[()]) -> Route:
    """Answer reports below a path from Python."""
    chain = reports / REPORT_ID & get() & LIMIT & auth(scope="intel:read") & admitted()
    return chain.then(show)


def routes(answer: str, more: int) -> Routes:
    """List the routes: health, reports, entities, and as many report routes more."""
    shown = answered if answer == "native" else handled
    entities = intelligence / "entities" & post() & auth(scope="intel:write") & admitted()
    return Routes(
        (path("health") & get()).answer({"status": "ok"}),
        shown(intelligence / "report"),
        (entities & body(NewEntity)).then(create),
        *(answered(path(f"api/system-{number}/report")) for number in range(more)),
    )


def application() -> Application:
    """Read the environment."""
    return Application(
        routes=routes(os.environ.get("ANSWER", "python"), int(os.environ.get("ROUTES", "0"))),
        layers=Layers(cors=cors(["*"], expose=())),
        tokens=Tokens(
            keys=(Key(secret="bench", algorithms=("HS256",)),),
            cache=int(os.environ.get("TOKEN_CACHE", "4096")),
        ),
        secrets={"bench": SECRET},
    )


if __name__ == "__main__":
    serve(application(), port=int(os.environ["PORT"]), eager=os.environ.get("EAGER") != "0")
