"""The sync SDK in a process of its own, for daemons of an unusual kind: it remembers where sandboxes are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.contract.conftest import control_plane
from tests.daemon_process import Process

PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
from daytona import Daytona
from daytona.common.errors import DaytonaError
git, found = Daytona().get("box").git, []
for method, args, options in json.loads(sys.argv[1]):
    try:
        getattr(git, method)(*args, **options)
        found.append("nothing")
    except DaytonaError as error:
        found.append([type(error).__name__, error.status_code])
print(json.dumps(found))
"""
Call = tuple[str, list[Any], dict[str, Any]]


def errors(environ: dict[str, str], served: Process, *calls: Call) -> list[Any]:
    """Call methods of ``sandbox.git`` in turn; return class and status of what each raises, or "nothing"."""
    with control_plane(served.url, served.home) as url:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(calls)],
            env={**environ, "DAYTONA_API_URL": url, "DAYTONA_SERVER_URL": url},
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found
