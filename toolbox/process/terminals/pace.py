"""Back-pressure of a terminal: how far ahead of its viewers it may write.

The viewer with the largest offset sets the pace: it loses nothing, and slower ones do not delay it. Without a viewer
the terminal is not paused, and the output log keeps the newest bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from toolbox.host.output_log import OutputLog

WINDOW = 512 * 1024


class Pace:
    """Compare the offsets of the viewers with the end of the output."""

    def __init__(self, output_log: OutputLog) -> None:
        self._output_log = output_log
        self._positions: dict[object, int] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def viewers(self) -> int:
        """Return the number of viewers."""
        return len(self._positions)

    @property
    def congested(self) -> bool:
        """Tell whether all viewers are more than a window behind."""
        return bool(self._positions) and self._output_log.size - max(self._positions.values()) > WINDOW

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, as soon as a viewer has caught up."""
        self._waiting.append(resume)

    def moved(self, viewer: object, offset: int) -> None:
        """Record the offset of a viewer; the first call adds it."""
        self._positions[viewer] = offset
        self._resume()

    def left(self, viewer: object) -> None:
        """Remove a viewer."""
        self._positions.pop(viewer, None)
        self._resume()

    def _resume(self) -> None:
        if self._waiting and not self.congested:
            waiting, self._waiting = self._waiting, []
            for resume in waiting:
                resume()
