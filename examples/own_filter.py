"""Filters of one's own: functions that put others together, and one that asks a store in Python.

Run it, then:

    curl http://127.0.0.1:8000/orders -H 'X-Tenant: acme' -H 'X-Api-Key: acme-key-1'
    curl http://127.0.0.1:8000/orders/7 -H 'X-Tenant: acme' -H 'X-Api-Key: acme-key-1'
"""

from __future__ import annotations

import hmac
from typing import Annotated, TypeVarTuple

import msgspec
from msgspec import Meta

from nexus_gateway import Filter, Reject, Routes, get, header, param, path, query, rate_limit
from nexus_gateway.server import serve

Ts = TypeVarTuple("Ts")
TenantName = Annotated[str, Meta(pattern="^[a-z]{2,16}$")]


class Tenant(msgspec.Struct, frozen=True):
    """Who calls."""

    name: str
    key: str


class Order(msgspec.Struct, frozen=True):
    """Something that was ordered."""

    number: int
    article: str


class Wanted(msgspec.Struct, frozen=True):
    """Which orders."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Tenants:
    """The tenants that there are, and their orders."""

    def __init__(self, tenants: list[Tenant], orders: dict[str, list[Order]]) -> None:
        self._tenants = {tenant.name: tenant for tenant in tenants}
        self._orders = orders

    async def identify(self, name: str, key: str) -> Tenant:
        """Find out who calls.

        Raises:
            Reject: nobody, or not with this key.
        """
        tenant = self._tenants.get(name)
        if tenant is None or not hmac.compare_digest(tenant.key.encode(), key.encode()):
            raise Reject("authentication_failed", "the tenant or its key is not known")
        return tenant

    async def orders(self, tenant: Tenant, wanted: Wanted) -> list[Order]:
        """List a tenant's orders."""
        return self._orders.get(tenant.name, [])[: wanted.limit]

    async def order(self, number: int, tenant: Tenant) -> Order:
        """Show one of a tenant's orders."""
        for order in self._orders.get(tenant.name, []):
            if order.number == number:
                return order
        raise Reject("not_found", f"there is no order {number}")


def tenant(tenants: Tenants) -> Filter[Tenant]:
    """Ask for a tenant: the core reads two headers, the store says whether they go together."""
    asked = header("x-tenant", TenantName) & header("x-api-key")
    return asked.and_then(tenants.identify)


def gently(chain: Filter[*Ts]) -> Filter[*Ts]:
    """Limit a chain by the client's address; the types of what it extracts stay."""
    return chain & rate_limit("20/s burst 40", by="address")


def build(tenants: Tenants) -> Routes:
    """Describe the gateway."""
    orders = path("orders")
    known = tenant(tenants)
    return (gently(orders & get()) & known & query(Wanted)).then(tenants.orders) | (
        gently(orders / param("number", int) & get()) & known
    ).then(tenants.order)


acme = Tenant("acme", "acme-key-1")
routes = build(Tenants([acme], {"acme": [Order(7, "anvil"), Order(8, "rocket skates")]}))

if __name__ == "__main__":
    serve(routes, port=8000)
