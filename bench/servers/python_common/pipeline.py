"""The pipeline that every peer in Python runs, each from its framework's own hooks."""

import os
import time
from secrets import token_hex

import jwt
from prometheus_client import Counter, Histogram

SECRET = "peer-bench-secret-0123456789abcdef-0123456789"
REPORT = "/api/intelligence/report/{id}"
ENTITIES = "/api/intelligence/entities"

requests = Counter("http_requests", "requests", ["method", "route", "status"])
latency = Histogram("http_request_seconds", "latency", ["method", "route"])


class Denied(Exception):
    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


def authorize(header: str | None, scope: str) -> dict:
    if not header or not header.startswith("Bearer "):
        raise Denied(401, "unauthorized")
    try:
        claims = jwt.decode(
            header[7:], SECRET, algorithms=["HS256"], options={"require": ["exp", "iat", "sub"]}
        )
    except jwt.PyJWTError:
        raise Denied(401, "unauthorized") from None
    if scope not in claims.get("scopes", ()):
        raise Denied(403, "forbidden")
    return claims


class TokenBuckets:
    def __init__(self, rate: float, burst: float):
        self.rate, self.burst, self.state = rate, burst, {}

    def take(self, key: str) -> None:
        now = time.monotonic()
        tokens, at = self.state.get(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        if tokens < 1:
            raise Denied(429, "rate limited")
        self.state[key] = (tokens - 1, now)


LIMIT = float(os.environ.get("LIMIT", "1e8"))
buckets = TokenBuckets(LIMIT, LIMIT)


def observe(method: str, route: str, status: int, seconds: float) -> None:
    requests.labels(method, route, str(status)).inc()
    latency.labels(method, route).observe(seconds)


def request_id() -> str:
    return token_hex(16)


def traceparent() -> str:
    h = token_hex(24)
    return f"00-{h[:32]}-{h[32:]}-01"


def route_of(path: str) -> str:
    return REPORT if path.startswith("/api/intelligence/report/") else ENTITIES
