"""The process host on real processes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import AsyncIterator

import pytest

from toolbox.host.procs import Procs
from toolbox.host.spool import Spool


@pytest.fixture
async def spool(tmp_path: pathlib.Path) -> AsyncIterator[Spool]:
    """Return spool space that is given back afterwards."""
    space = Spool(tmp_path / "spool")
    yield space
    await space.close()


@pytest.fixture
async def procs(spool: Spool) -> AsyncIterator[Procs]:
    """Return a process host that ends everything afterwards."""
    host = Procs(spool)
    yield host
    await host.close()


@pytest.fixture
def path_env() -> dict[str, str]:
    """Return a small environment for children."""
    return {"PATH": os.environ["PATH"], "HOME": "/"}
