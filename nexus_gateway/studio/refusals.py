"""What storage says, as HTTP says it: the last case of every room's `refuse`."""

from __future__ import annotations

import logging
from typing import NoReturn

from nexus_gateway import Reject
from nexus_gateway.studio.storage.errors import BadText, StorageUnavailable

_logger = logging.getLogger(__name__)


async def refuse_storage(error: Exception) -> NoReturn:
    """Answer 503 where storage does not answer, 400 to what it cannot keep; raise the rest again.

    The cause is logged, and not told to callers: it may name files and hosts.
    """
    if isinstance(error, StorageUnavailable):
        _logger.warning("storage does not answer: %s", error)
        raise Reject("database_error", retry_after=error.retry_after) from error
    if isinstance(error, BadText):
        raise Reject("validation_error", str(error), status=400) from error
    raise error
