"""What is there already and is not of a demonstration, so that a load leaves it as it is."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.loader import TIMEOUT, bearer, connection_to
from nexus_gateway.values.credentials import redacted

if TYPE_CHECKING:
    from collections.abc import Collection

ENTITIES = "/api/intelligence/entities"
NODES = "/api/knowledge-graph/nodes"
PAGE_ITEMS_MAX = 200
"""Items that the gateway reads at once while it streams a list."""


class Item(msgspec.Struct, frozen=True):
    """What of an entity or a node decides whose it is."""

    entity_id: str
    entity_type: str


_decode = msgspec.json.Decoder(Item).decode


def foreign_ids(target: str, own_types: Collection[str], *, url: str, token: str) -> set[str]:
    """List the ids of a gateway's entities or nodes that have other types than a source's.

    Args:
        target: `ENTITIES` or `NODES`.
        own_types: the types that the source gives its own.
        url: the gateway.
        token: a bearer token with the scope to read them.

    Raises:
        DemoError: the gateway cannot be reached or refuses.
    """
    headers = {"authorization": bearer(token), "accept": "application/x-ndjson"}
    connection = connection_to(url)
    try:
        connection.request(
            "GET",
            f"{urlsplit(url).path.rstrip('/')}{target}?limit={PAGE_ITEMS_MAX}",
            headers=headers,
        )
        answer = connection.getresponse()
        if answer.status >= 300:
            text = redacted(answer.read(500).decode(errors="replace"), (token,))
            raise DemoError(f"the gateway refuses to list {target}: {answer.status} {text}")
        items = (_decode(line) for line in answer if line.strip())
        return {item.entity_id for item in items if item.entity_type not in own_types}
    except TimeoutError as exc:
        raise DemoError(f"the gateway did not answer within {TIMEOUT:g} s") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise DemoError(f"no gateway answers there ({exc}): start one first") from exc
    except msgspec.MsgspecError as exc:
        raise DemoError(f"the list of {target} is not one of a gateway: {exc}") from exc
    finally:
        connection.close()
