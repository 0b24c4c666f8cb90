"""The WebSocket sub-protocols of the SDKs, and which of those that a client offers is echoed."""

from __future__ import annotations

from toolbox.http.endpoint import Subprotocols

# Followed by the release of the SDK.
SDK_VERSION = "X-Daytona-SDK-Version~"
# The client understands the control frame ``exited``.
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
# Followed by variables, base64url of a JSON object: echoed only if nothing else is offered.
PTY_ENVS = "X-Daytona-Pty-Envs~"

SUBPROTOCOLS = Subprotocols(first=(SDK_VERSION.rstrip("~"), EXIT_CONTROL), last=(PTY_ENVS.rstrip("~"),))
