"""The embedder that asks a provider: any server that speaks OpenAI's `POST /embeddings`.

Calls run on threads, over connections that are kept. Whatever is wrong with the provider becomes
`EmbeddingUnavailable`, and for some seconds nobody asks it again: searches go on by words, and what
was to be indexed waits.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable
from nexus_gateway.values.credentials import check_key, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

_logger = logging.getLogger(__name__)

ANSWER = 64 << 20
"""Bytes of an answer."""
REST = 5.0
"""Seconds that a provider is left alone which failed."""
KEPT = 4
"""Connections that are kept."""
REMEMBERED = 256
"""Texts asked for alone, as searches do, whose vectors are remembered."""
_REFUSED = frozenset({400, 413, 422})
"""Statuses that speak of the texts, not of the provider."""


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Embedding]


class _Refused(Exception):  # noqa: N818 - what is said, not what failed
    """Say that the provider does not take these texts."""


_read = msgspec.json.Decoder(_Answer).decode


class Provider:
    """Makes vectors by a provider's model.

    Args:
        url: where the API is, `https://host/v1`.
        name: of the model.
        key: is sent as a bearer token.
        batch: texts that are sent at once.
        timeout: seconds that a call may take.

    Raises:
        ValueError: the URL is not one of HTTP, or the key cannot be sent; neither is quoted.
    """

    floor = 0.2
    lexical = False

    def __init__(
        self, url: str, name: str, *, key: str | None = None, batch: int = 64, timeout: float = 10.0
    ) -> None:
        expected = "expected http://host/v1 or https://..., without a user or a password"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(expected) from None  # its text quotes a part of the URL
        if parts.scheme not in ("http", "https") or parts.hostname is None or "@" in parts.netloc:
            raise ValueError(expected)
        self.model = f"provider:{name}"
        self.batch = batch
        self._name = name
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = f"{parts.path.rstrip('/')}/embeddings"
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {check_key(key)}"
        self._secrets = () if key is None else (key,)
        self._timeout = timeout
        self._idle: deque[http.client.HTTPConnection] = deque(maxlen=KEPT)
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._rests_until = 0.0
        self._dimensions = 0

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Make a vector of each text; one that the provider refuses gets one that is like nothing.

        Raises:
            EmbeddingUnavailable: the provider does not answer as it should.
        """
        if len(texts) == 1 and texts[0] in self._known:
            self._known.move_to_end(texts[0])
            return [self._known[texts[0]]]
        if time.monotonic() < self._rests_until:
            raise EmbeddingUnavailable("the provider of embeddings failed moments ago")
        try:
            vectors = await asyncio.to_thread(self._embed, texts)
        except EmbeddingUnavailable:
            self._rests_until = time.monotonic() + REST
            raise
        if len(texts) == 1:
            self._known[texts[0]] = vectors[0]
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return vectors

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _embed(self, texts: Sequence[str]) -> list[bytes]:
        try:
            return self._ask(texts)
        except _Refused as refused:
            if len(texts) > 1:
                # One of them is to blame, and shall not keep back the others.
                return [self._embed([text])[0] for text in texts]
            if not self._dimensions:
                raise EmbeddingUnavailable(str(refused)) from refused
            _logger.warning("a text has no vector: %s", refused)
            return [bytes(self._dimensions)]

    def _ask(self, texts: Sequence[str]) -> list[bytes]:
        body = msgspec.json.encode(
            {"model": self._name, "input": texts, "encoding_format": "float"}
        )
        status, answer = self._post(body)
        if status in _REFUSED:
            said = redacted(repr(answer[:200]), self._secrets)
            raise _Refused(f"the provider of embeddings refuses it: {status} {said}")
        if status != 200:
            raise EmbeddingUnavailable(f"the provider of embeddings answered {status}")
        return self._vectors(answer, len(texts))

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Send a request, over a kept connection if there is one that still works."""
        kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                return self._exchange(kept, body)
            except (http.client.HTTPException, OSError):
                kept.close()
        fresh = self._connect()
        try:
            return self._exchange(fresh, body)
        except (http.client.HTTPException, OSError) as error:
            fresh.close()
            reason = str(error) or type(error).__name__
            message = f"the provider of embeddings does not answer: {reason}"
            raise EmbeddingUnavailable(message) from error

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes) -> tuple[int, bytes]:
        connection.request("POST", self._path, body=body, headers=self._headers)
        response = connection.getresponse()
        answer = response.read(ANSWER + 1)
        if len(answer) > ANSWER:
            connection.close()
            raise EmbeddingUnavailable(f"the provider's answer has more than {ANSWER} bytes")
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return response.status, answer

    def _vectors(self, answer: bytes, count: int) -> list[bytes]:
        """Read vectors out of an answer, in the order of the texts."""
        import numpy as np

        from nexus_gateway.studio.intelligence.embedding.quantize import signed_bytes

        try:
            data = sorted(_read(answer).data, key=lambda one: one.index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            message = f"the provider's answer cannot be read: {error}"
            raise EmbeddingUnavailable(message) from error
        lengths = {len(one.embedding) for one in data}
        if [one.index for one in data] != list(range(count)) or len(lengths) != 1:
            raise EmbeddingUnavailable(f"the provider did not answer {count} vectors of one length")
        self._dimensions = lengths.pop()
        if not 1 <= self._dimensions <= 16_384:
            raise EmbeddingUnavailable(f"the provider's vectors have {self._dimensions} dimensions")
        return signed_bytes(np.array([one.embedding for one in data], np.float64))
