"""One module per area; each has ``WORKLOADS``."""

from __future__ import annotations

import importlib
import pkgutil

from bench.workload import Workload


def all_workloads() -> list[Workload]:
    """Collect the rows of every area."""
    found: list[Workload] = []
    for module in pkgutil.iter_modules(__path__):
        found += importlib.import_module(f"{__name__}.{module.name}").WORKLOADS
    return sorted(found, key=lambda row: not row.baseline)
