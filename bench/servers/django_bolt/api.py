"""The pipeline as a program of django-bolt: token, guard and CORS are native, the rest is Python.

Version 0.13. Its rate limit counts by address or by a header, not by the subject of a token, so the
limit is the pipeline's. CORS is the one of `settings.py`.
"""

import time

from bodies_msgspec import NewEntity, entity, report
from django_bolt.auth import JWTAuthentication, Requires
from pipeline import ENTITIES, REPORT, SECRET, Denied, buckets, observe, request_id, traceparent

from django_bolt import JSON, BoltAPI

api = BoltAPI(enable_logging=False, compression=False)
jwt = JWTAuthentication(secret=SECRET)


def reply(method, route, value, status, started):
    response = JSON(
        value,
        status_code=status,
        headers={"x-request-id": request_id(), "traceparent": traceparent()},
    )
    observe(method, route, status, time.perf_counter() - started)
    return response


def refusal(method, route, denied, started):
    return reply(method, route, {"error": denied.message}, denied.status, started)


@api.get("/health")
async def health():
    return {"status": "ok"}


@api.get("/squares/{number}")
async def square(number: int):
    return {"number": number, "square": number * number}


@api.get(REPORT, auth=[jwt], guards=[Requires("permissions", "intel:read")])
async def get_report(request, id: str, limit: int = 10):
    started = time.perf_counter()
    try:
        buckets.take(request["context"]["user_id"])
    except Denied as denied:
        return refusal("GET", REPORT, denied, started)
    return reply("GET", REPORT, report(id, limit), 200, started)


@api.post(ENTITIES, auth=[jwt], guards=[Requires("permissions", "intel:write")])
async def new_entity(request, new: NewEntity):
    started = time.perf_counter()
    sub = request["context"]["user_id"]
    try:
        buckets.take(sub)
    except Denied as denied:
        return refusal("POST", ENTITIES, denied, started)
    return reply("POST", ENTITIES, entity(new, sub), 201, started)
