"""Revocations from outside: whose tokens they concern, and that they outlive processes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.realtime.frames import Revocation
from nexus_gateway.server.settings import Settings
from nexus_gateway.studio.admin import store as revocation_store
from nexus_gateway.studio.admin.service import Revoking
from nexus_gateway.studio.admin.store import RevocationStore, TooManyRevocations
from tests.harness.studio_server import Serving, serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database
    from nexus_gateway.testing import Answer

REVOCATIONS = "/api/admin/revocations"
READ = "GET /api/intelligence/entities"
WRONG: list[dict[str, object]] = [
    {}, {"sub": "a", "jti": "b"}, {"sub": ""}, {"sub": "a", "x": 1}
]  # fmt: skip


@pytest.fixture
def settings(where: Path | str, tmp_path: Path) -> Settings:
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    return Settings(data_dir=tmp_path, log_level="error", database_url=url)


async def revoke(studio: Serving, token: str, **what: object) -> Answer:
    return await studio.call(f"POST {REVOCATIONS}", what, token=token)


async def passes(studio: Serving, token: str) -> bool:
    return (await studio.call(READ, token=token)).status == 200


async def test_an_operator_revokes_in_its_own_tenant_only(settings: Settings) -> None:
    async with serving(settings) as studio:
        admin = studio.token("other", "admin:write", "admin:read", subject="root")
        everything = studio.token("other", "*", subject="root")
        victim = studio.token("acme", subject="alice")
        for token in (admin, everything):
            own = await revoke(studio, token, sub="alice")
            foreign = await revoke(studio, token, sub="alice", tenant="acme")
            general = await revoke(studio, token, sub="alice", all_tenants=True)

            assert own.status == 200, own.body
            assert (foreign.status, general.status) == (403, 403), foreign.body
            assert await passes(studio, victim)
        assert not await passes(studio, studio.token("other", subject="alice"))
        theirs = await studio.call(f"GET {REVOCATIONS}", token=studio.token("acme", "admin:read"))
        assert msgspec.json.decode(theirs.body)["items"] == []


@pytest.mark.parametrize(
    ("tenant", "scopes", "what"),
    [
        ("other", ("admin:write", "admin:global"), {"tenant": "acme"}),
        ("other", ("admin:write", "admin:global"), {"all_tenants": True}),
        (None, ("*",), {}),
    ],
)
async def test_the_global_scope_reaches_every_tenant(
    settings: Settings, tenant: str | None, scopes: tuple[str, ...], what: dict[str, object]
) -> None:
    async with serving(settings) as studio:
        admin = studio.token(tenant, *scopes, subject="root")
        victim = studio.token("acme", subject="alice")

        answer = await revoke(studio, admin, sub="alice", **what)

        assert answer.status == 200, answer.body
        assert not await passes(studio, victim)


async def test_revocations_hold_after_a_restart(settings: Settings) -> None:
    async with serving(settings) as studio:
        victim, friend = studio.token("acme:eu"), studio.token("acme", subject="alice")
        admin = studio.token("acme:eu", "admin:write", subject="root")
        assert (await revoke(studio, admin, sub="alice")).status == 200

    async with serving(settings) as studio:
        answer = await studio.call(READ, token=victim)
        assert (answer.status, await passes(studio, friend)) == (401, True)
        assert b"token_revoked" in answer.body


class Hub:
    """Remembers what was put in force."""

    def __init__(self) -> None:
        self.restored: list[Revocation] = []
        self.changed = asyncio.Event()

    async def revoke(
        self,
        *,
        jti: str | None = None,
        sub: str | None = None,
        before: int | None = None,
        expires: int | None = None,
        tenant: str | None = None,
    ) -> Revocation:
        return Revocation(
            expires=expires or int(time.time()) + 86_400,
            jti=jti,
            sub=sub,
            before=before,
            tenant=tenant or None,
            all_tenants=tenant is None,
        )

    def restore(self, revocations: Sequence[Revocation]) -> None:
        self.restored.extend(revocations)
        self.changed.set()


async def test_a_replica_sees_what_another_stores(engine: Database | Postgres) -> None:
    store = RevocationStore(engine)
    here, there = Hub(), Hub()
    async with Revoking(store, here, poll=0.01) as one, Revoking(store, there, poll=0.01):
        made = [
            await one.revoke(by="root", tenant="a", jti="t1"),
            await one.revoke(by="root", tenant="", sub="alice", before=7),
            await one.revoke(by="root", tenant=None, sub="bob", before=8),
        ]
        async with asyncio.timeout(5):
            while len(there.restored) < len(made):
                there.changed.clear()
                await there.changed.wait()

    assert there.restored == made


class Overtaken(RevocationStore):
    """A store whose first row is seen only after the second: its transaction ended later."""

    hidden = True

    async def after(self, seq: int) -> Sequence[tuple[int, Revocation]]:
        rows = await super().after(seq)
        return [row for row in rows if row[1].jti != "a"] if self.hidden else rows


async def test_a_row_that_a_later_number_overtook_is_seen(engine: Database | Postgres) -> None:
    store, hub = Overtaken(engine), Hub()
    revoking = Revoking(store, hub)
    for name in ("a", "b"):
        await store.add(Revocation(expires=2**40, jti=name), by="root")
    await revoking.look()
    store.hidden = False

    await revoking.look()
    await revoking.look()

    assert [one.jti for one in hub.restored] == ["b", "a"]


async def test_rows_that_ended_or_are_covered_are_removed(engine: Database | Postgres) -> None:
    store = RevocationStore(engine, clock=lambda: 1000.0)
    for expires in (1500, 1400, 1600):
        await store.add(Revocation(expires=expires, sub="alice", before=5, tenant="a"), by="root")
    await store.add(Revocation(expires=900, jti="old"), by="root")

    assert await store.remove_ended() == 1
    left = [one for _, one in await store.after(0)]
    assert [one.expires for one in left] == [1600]


async def test_a_tenant_has_a_bounded_number(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_store, "REVOCATIONS_MAX", 2)
    store = RevocationStore(engine)
    for name in ("a", "b"):
        await store.add(Revocation(expires=2**40, jti=name, tenant="x"), by="root")

    with pytest.raises(TooManyRevocations):
        await store.add(Revocation(expires=2**40, jti="c", tenant="x"), by="root")
    await store.add(Revocation(expires=2**40, jti="c", tenant="y"), by="root")


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_no_revocation_is_refused(
    settings: Settings, what: dict[str, object]
) -> None:
    async with serving(settings) as studio:
        answer = await revoke(studio, studio.token("acme", "admin:write"), **what)

    assert answer.status in {400, 422}, answer.body
