"""What the SDKs expect of a WebSocket: the sub-protocol that is echoed, and how an exit is reported."""

from __future__ import annotations

from toolbox.http.endpoint import Subprotocols

# Followed by the release of the SDK.
SDK_VERSION = "X-Daytona-SDK-Version~"
# The client understands the control frame ``exited``.
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
# Followed by variables, base64url of a JSON object: echoed only if nothing else is offered.
PTY_ENVS = "X-Daytona-Pty-Envs~"

SUBPROTOCOLS = Subprotocols(first=(SDK_VERSION.rstrip("~"), EXIT_CONTROL), last=(PTY_ENVS.rstrip("~"),))

NORMAL, INTERNAL = 1000, 1011
_REASONS = {130: "Ctrl+C", 137: "SIGKILL", 143: "SIGTERM"}


def close_code(exit_code: int) -> int:
    """Return the close code of a connection whose program has ended."""
    return INTERNAL if exit_code else NORMAL


def exit_reason(exit_code: int) -> str | None:
    """Return the text for an exit code, None for 0."""
    if exit_code == 0:
        return None
    return _REASONS.get(exit_code) or (f"signal {exit_code - 128}" if exit_code > 128 else "non-zero exit")
