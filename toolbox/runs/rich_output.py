"""Rich output of code, as a MIME bundle: one representation per MIME type, a chart is one of them.

``toolbox/payload/sink.py`` writes the same JSON in the user's interpreter, one line per output.
"""

from __future__ import annotations

from typing import Any

import msgspec

from toolbox.wire import Wire

PNG = "image/png"
PLOTLY = "application/vnd.plotly.v1+json"
# Ours: a figure's labels and data, with the field names of the SDKs' chart classes.
CHART = "application/vnd.toolbox.chart+json"


class RichOutput(Wire, kw_only=True):
    """One output: payloads by MIME type (binary types in base64, JSON types as values), and metadata by MIME type."""

    mime: dict[str, Any]
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def chart(self) -> dict[str, Any] | None:
        """The chart with the representations that SDKs expect inside it, None if this output has no chart."""
        chart = self.mime.get(CHART)
        if not isinstance(chart, dict):
            return None
        return {"png": self.mime.get(PNG), "plotly": self.mime.get(PLOTLY), **chart}
