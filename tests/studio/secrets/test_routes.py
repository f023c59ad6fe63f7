"""`/api/admin/secrets` from outside: values go in and never come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server.settings import Secret, Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.storage.vault import NoKey
from nexus_gateway.testing import Answer, Client, request
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from pathlib import Path

ROOM = "/api/admin/secrets"
VALUE = "sk-very-secret-value"
KEYS = ("a" * 64, "b" * 64)


@pytest.fixture
def settings(where: Path | str, tmp_path: Path) -> Settings:
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    return Settings(data_dir=tmp_path, log_level="error", database_url=url)


class Caller:
    def __init__(
        self, client: Client, settings: Settings, scopes: str, tenant: str = "acme"
    ) -> None:
        secret = settings.secret()
        assert secret is not None
        self._client = client
        self._token = mint(secret, "alice", scopes.split(), TOKEN_LIFETIME_S, tenant=tenant)

    def send(self, method: str, target: str, value: object = None) -> Answer:
        asked = request(f"{method} {target}")
        return (
            (asked if value is None else asked.json(value)).bearer(self._token).reply(self._client)
        )

    def names(self) -> list[str]:
        found = msgspec.json.decode(self.send("GET", ROOM).body, type=dict[str, object])
        items = msgspec.convert(found["items"], list[dict[str, object]])
        return [str(item["name"]) for item in items]


def test_a_secret_is_put_listed_replaced_and_deleted_and_never_answered(
    client: Client, settings: Settings
) -> None:
    admin = Caller(client, settings, "admin:read admin:write")

    made = admin.send("PUT", f"{ROOM}/openai", {"value": VALUE})
    replaced = admin.send("PUT", f"{ROOM}/openai", {"value": VALUE})
    listed = admin.send("GET", ROOM)
    gone = admin.send("DELETE", f"{ROOM}/openai")
    again = admin.send("DELETE", f"{ROOM}/openai")

    assert [made.status, replaced.status, listed.status] == [201, 200, 200]
    assert [gone.status, again.status] == [204, 404]
    assert msgspec.json.decode(replaced.body, type=dict[str, object])["revision"] == 2
    assert b'"name":"openai"' in listed.body
    assert VALUE.encode() not in made.body + replaced.body + listed.body
    assert admin.send("GET", f"{ROOM}/openai").status == 405
    assert admin.names() == []


def test_a_tenant_sees_its_own_alone(client: Client, settings: Settings) -> None:
    acme = Caller(client, settings, "admin:read admin:write")
    other = Caller(client, settings, "admin:read admin:write", "other")
    acme.send("PUT", f"{ROOM}/a", {"value": VALUE})

    assert (acme.names(), other.names()) == (["a"], [])
    assert other.send("DELETE", f"{ROOM}/a").status == 404


def test_pages_follow_each_other(client: Client, settings: Settings) -> None:
    admin = Caller(client, settings, "admin:read admin:write")
    for name in "abc":
        admin.send("PUT", f"{ROOM}/{name}", {"value": VALUE})

    first = msgspec.json.decode(admin.send("GET", f"{ROOM}?limit=2").body, type=dict[str, object])
    rest = admin.send("GET", f"{ROOM}?limit=2&cursor={first['next_cursor']}")

    assert first["next_cursor"] == "b"
    assert b'"name":"c"' in rest.body
    assert b'"next_cursor":null' in rest.body


@pytest.mark.parametrize(
    ("method", "target", "scopes", "status"),
    [
        ("GET", ROOM, "admin:write", 403),
        ("PUT", f"{ROOM}/a", "admin:read", 403),
        ("DELETE", f"{ROOM}/a", "admin:read", 403),
        ("POST", f"{ROOM}:reseal", "admin:read", 403),
        ("PUT", f"{ROOM}/a", "intelligence:write", 403),
        ("PUT", f"{ROOM}/.a", "*", 400),
        ("PUT", f"{ROOM}/a%20b", "*", 400),
    ],
)
def test_the_scope_and_the_name_are_asked_for(
    client: Client, settings: Settings, method: str, target: str, scopes: str, status: int
) -> None:
    caller = Caller(client, settings, scopes)

    value = {"value": VALUE} if method == "PUT" else None

    assert caller.send(method, target, value).status == status


@pytest.mark.parametrize(
    "body", [{}, {"value": ""}, {"value": 4711}, {"value": [VALUE]}, {"value": VALUE, "x": VALUE}]
)
def test_a_body_that_is_refused_is_not_repeated(
    client: Client, settings: Settings, body: dict[str, object]
) -> None:
    answer = Caller(client, settings, "*").send("PUT", f"{ROOM}/a", body)

    assert answer.status == 422
    assert VALUE.encode() not in answer.body
    assert b"4711" not in answer.body


def test_the_key_of_development_is_a_file_for_its_owner_made_when_needed(
    client: Client, settings: Settings
) -> None:
    file = settings.data_dir / "secrets-key"
    before = file.exists()
    Caller(client, settings, "*").send("PUT", f"{ROOM}/a", {"value": VALUE})

    assert not before
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text()) == 64


def production(settings: Settings, key: str | None = None, old: str | None = None) -> Settings:
    return msgspec.structs.replace(
        settings,
        env="production",
        jwt_secret=Secret("only for tests: longer than 32 bytes"),
        secrets_key=None if key is None else Secret(key),
        secrets_old_key=None if old is None else Secret(old),
    )


def test_production_starts_without_a_key_and_refuses_to_keep_secrets(settings: Settings) -> None:
    chosen = production(settings)
    with Client(compose(chosen)) as client:
        answer = Caller(client, chosen, "*").send("PUT", f"{ROOM}/a", {"value": VALUE})

    assert answer.status == 503
    assert msgspec.json.decode(answer.body, type=dict[str, str])["code"] == "service_unavailable"
    assert not (chosen.data_dir / "secrets-key").exists()


def test_production_refuses_to_start_without_the_key_of_what_is_kept(settings: Settings) -> None:
    chosen = production(settings, KEYS[0])
    with Client(compose(chosen)) as client:
        assert Caller(client, chosen, "*").send("PUT", f"{ROOM}/a", {"value": VALUE}).status == 201

    for lacking in (production(settings), production(settings, KEYS[1])):
        with pytest.raises(NoKey, match="NEXUS_SECRETS_KEY"), Client(compose(lacking)):
            pass


def test_a_key_is_changed_while_both_are_there(settings: Settings) -> None:
    old = production(settings, KEYS[0])
    with Client(compose(old)) as client:
        Caller(client, old, "*").send("PUT", f"{ROOM}/a", {"value": VALUE})

    with Client(compose(production(settings, KEYS[1], KEYS[0]))) as client:
        admin = Caller(client, old, "admin:write admin:global")
        answers = [admin.send("POST", f"{ROOM}:reseal").body for _ in range(2)]

    assert answers == [b'{"resealed":1}', b'{"resealed":0}']
    with Client(compose(production(settings, KEYS[1]))) as client:
        assert Caller(client, old, "*").names() == ["a"]
