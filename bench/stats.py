"""Figures from samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0-1) of the samples lie, interpolated."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One row for one server: median, 95th percentile, work per second where that means something.

    ``baseline`` is the median of the bare row it is held against, from the same rounds.
    """

    unit: str
    p50: float
    p95: float
    rate: float | None
    samples: int
    baseline: float | None = None

    @classmethod
    def of(
        cls, samples: Sequence[float], unit: str, rate: float | None = None, baseline: Sequence[float] = ()
    ) -> Figure:
        """Summarise samples; ``baseline`` are those of the bare row, taken in turn with them."""
        base = percentile(baseline, 0.5) if baseline else None
        return cls(unit, percentile(samples, 0.5), percentile(samples, 0.95), rate, len(samples), base)
