"""The pipeline as a program of django-bolt: token, guard, limit and CORS are its own, in Rust.

Counters and ids are Python, as django-bolt has none of its own. `PIPELINE=native` leaves both out:
what django-bolt does natively, and nothing else.
"""

import os
import time

from bodies_msgspec import NewEntity, entity, report
from django_bolt.auth import JWTAuthentication, Requires
from django_bolt.middleware import rate_limit
from pipeline import ENTITIES, LIMIT, REPORT, SECRET, observe, request_id, traceparent

from django_bolt import JSON, BoltAPI

api = BoltAPI(enable_logging=False, compression=False)
jwt = JWTAuthentication(secret=SECRET)
limited = rate_limit(rps=int(LIMIT), burst=int(LIMIT), key="user")


def reply(method, route, value, status, started):
    response = JSON(
        value,
        status_code=status,
        headers={"x-request-id": request_id(), "traceparent": traceparent()},
    )
    observe(method, route, status, time.perf_counter() - started)
    return response


@api.get("/health")
async def health():
    return {"status": "ok"}


@api.get("/squares/{number}")
async def square(number: int):
    return {"number": number, "square": number * number}


if os.environ.get("PIPELINE") == "native":

    @api.get(REPORT, auth=[jwt], guards=[Requires("permissions", "intel:read")])
    @limited
    async def get_report(request, id: str, limit: int = 10):
        return report(id, limit)

else:

    @api.get(REPORT, auth=[jwt], guards=[Requires("permissions", "intel:read")])
    @limited
    async def get_report(request, id: str, limit: int = 10):
        started = time.perf_counter()
        return reply("GET", REPORT, report(id, limit), 200, started)


@api.post(ENTITIES, auth=[jwt], guards=[Requires("permissions", "intel:write")])
@limited
async def new_entity(request, new: NewEntity):
    started = time.perf_counter()
    sub = request["context"]["user_id"]
    return reply("POST", ENTITIES, entity(new, sub), 201, started)
