"""Vectors as signed bytes, as they are kept and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def signed_bytes(vectors: NDArray[np.float64]) -> list[bytes]:
    """Scale each vector so that its largest component is 127, and round.

    A vector of zeros, or of what is no number, becomes one that is like nothing.
    """
    sound = np.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    largest = np.abs(sound).max(axis=1, keepdims=True)
    scaled = np.divide(sound * 127.0, largest, out=np.zeros_like(sound), where=largest > 0)
    return [row.tobytes() for row in np.rint(scaled).astype(np.int8)]
