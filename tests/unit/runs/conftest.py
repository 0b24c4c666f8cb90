"""A process host on which supervised children and runs are tested."""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.host.procs import Procs
from toolbox.host.spool import Spool


@pytest.fixture
async def procs(tmp_path: pathlib.Path) -> AsyncIterator[Procs]:
    """Return a process host that ends everything afterwards."""
    spool = Spool(tmp_path / "spool")
    host = Procs(spool)
    yield host
    await host.close()
    await spool.close()


@pytest.fixture
def path_env() -> dict[str, str]:
    """Return a small environment for children."""
    return {"PATH": os.environ["PATH"], "HOME": "/"}
