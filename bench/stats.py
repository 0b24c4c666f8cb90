"""Figures from samples."""

from __future__ import annotations

import dataclasses
import statistics
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
    """One row for one server: median, 95th percentile, and work per second where that means something."""

    unit: str
    p50: float
    p95: float
    rate: float | None
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float], unit: str, *, per_sample: float | None = None) -> Figure:
        """Summarise samples; ``per_sample`` is the work in one, whose time is then in milliseconds."""
        mean = statistics.fmean(samples)
        rate = per_sample * 1000 / mean if per_sample and mean else None
        return cls(unit, percentile(samples, 0.5), percentile(samples, 0.95), rate, len(samples))
