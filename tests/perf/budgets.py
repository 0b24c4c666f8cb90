"""Every budget of the perf tier in one place; a ratio to a baseline of the same run wherever that is possible."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Budgets:
    """What the daemon may cost."""

    # CPU to import and build everything, and CPU up to the first answer, over the CPU of importing aiohttp.web.
    boot_over_aiohttp: float = 1.6
    first_answer_over_aiohttp: float = 1.6
    # Wall time: the answer over a bare import of aiohttp.web, which is as long and meets the same load; the port, which
    # takes a few milliseconds, over a bare interpreter (40 ms where that takes 9.5 ms).
    first_answer_wall_over_aiohttp: float = 1.6
    port_over_interpreter: float = 4.2
    # Five domains and the layer they share, half a millisecond each; the ratios above hold what they cost together.
    own_modules_at_boot: int = 225
    idle_mb: float = 48
    after_1000_requests_mb: float = 51
    growth_1000_to_10000_mb: float = 1
    growth_by_500_mb_of_output_mb: float = 40


BUDGETS = Budgets()

# Libraries that cost tens of milliseconds or megabytes: each is imported on first use, in a thread.
BANNED_AT_BOOT = frozenset(
    {
        *("PIL", "Xlib", "aiodocker", "asyncssh", "dbus_fast", "dulwich", "ipykernel", "jupyter_client", "lsprotocol"),
        *(
            "matplotlib",
            "mss",
            "numpy",
            "opentelemetry",
            "pandas",
            "pexpect",
            "prometheus_client",
            "psutil",
            "ptyprocess",
        ),
        *("pydantic", "pydantic_settings", "pygit2", "pygls", "ripgrep", "structlog", "swagger_ui_bundle", "uvloop"),
        *("watchfiles", "zmq", "importlib.metadata", "multiprocessing", "sqlite3", "tarfile", "zipfile", "unittest"),
    }
)
