"""The pipeline as a program of FastAPI, written as its documentation writes such a program."""

import time
from typing import Annotated

from bodies_pydantic import Entity, NewEntity, Report, entity, report
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from pipeline import Denied, authorize, buckets, observe, request_id, route_of, traceparent

from fastapi import Depends, FastAPI, Header, Request

app = FastAPI()
api = FastAPI()


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.get("/squares/{number}")
async def square(number: int):
    return {"number": number, "square": number * number}


def secured(scope: str):
    async def dependency(authorization: Annotated[str | None, Header()] = None) -> dict:
        claims = authorize(authorization, scope)
        buckets.take(claims["sub"])
        return claims

    return Depends(dependency)


@api.exception_handler(Denied)
async def denied(request: Request, exc: Denied):
    return JSONResponse({"error": exc.message}, exc.status)


@api.get("/report/{id}", response_model=Report)
async def get_report(id: str, claims: Annotated[dict, secured("intel:read")], limit: int = 10):
    return report(id, limit)


@api.post("/entities", response_model=Entity, status_code=201)
async def new_entity(new: NewEntity, claims: Annotated[dict, secured("intel:write")]):
    return entity(new, claims["sub"])


api.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])


@api.middleware("http")
async def observed(request: Request, call_next):
    started = time.perf_counter()
    response = await call_next(request)
    response.headers["x-request-id"] = request_id()
    response.headers["traceparent"] = traceparent()
    observe(
        request.method,
        route_of(request.url.path),
        response.status_code,
        time.perf_counter() - started,
    )
    return response


app.mount("/api/intelligence", api)
