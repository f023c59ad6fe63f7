"""The pipeline in bare RSGI on Granian, routed by hand: what Python costs without a framework."""

import time
from urllib.parse import parse_qsl

import msgspec
from bodies_msgspec import decode_new, encode, entity, report
from pipeline import ENTITIES, REPORT, Denied, authorize, buckets, observe, request_id, traceparent

JSON = ("content-type", "application/json")
PREFIX = "/api/intelligence/report/"


async def get_report(scope, proto):
    claims = authorize(scope.headers.get("authorization"), "intel:read")
    buckets.take(claims["sub"])
    try:
        limit = int(dict(parse_qsl(scope.query_string)).get("limit", 10))
    except ValueError:
        raise Denied(422, "invalid limit") from None
    return 200, encode(report(scope.path[len(PREFIX) :], limit))


async def new_entity(scope, proto):
    claims = authorize(scope.headers.get("authorization"), "intel:write")
    buckets.take(claims["sub"])
    try:
        new = decode_new(await proto())
    except msgspec.MsgspecError:
        raise Denied(422, "invalid body") from None
    return 201, encode(entity(new, claims["sub"]))


async def app(scope, proto):
    if scope.proto != "http":
        return
    method, path = scope.method, scope.path
    if method == "GET" and path == "/health":
        return proto.response_bytes(200, [JSON], b'{"status":"ok"}')
    if method == "GET" and path.startswith("/squares/"):
        number = int(path[len("/squares/") :])
        body = encode({"number": number, "square": number * number})
        return proto.response_bytes(200, [JSON], body)
    if method == "GET" and path.startswith(PREFIX):
        route, handler = REPORT, get_report
    elif method == "POST" and path == ENTITIES:
        route, handler = ENTITIES, new_entity
    else:
        return proto.response_empty(404, [])
    started = time.perf_counter()
    try:
        status, body = await handler(scope, proto)
    except Denied as d:
        status, body = d.status, encode({"error": d.message})
    headers = [
        JSON,
        ("access-control-allow-origin", "*"),
        ("x-request-id", request_id()),
        ("traceparent", traceparent()),
    ]
    proto.response_bytes(status, headers, body)
    observe(method, route, status, time.perf_counter() - started)
