"""How far ahead of its viewers a terminal may write.

The one that has seen most sets the pace: alone it loses nothing, and beside it a slow one delays nobody. With no
viewer at all the terminal writes as it likes, into the output log's last bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from toolbox.host.output_log import OutputLog

WINDOW = 512 * 1024


class Pace:
    """Compare the positions of viewers with the end of the output."""

    def __init__(self, output_log: OutputLog) -> None:
        self._output_log = output_log
        self._positions: dict[object, int] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def viewers(self) -> int:
        """Return how many there are."""
        return len(self._positions)

    @property
    def congested(self) -> bool:
        """Tell whether even the first of the viewers is a window behind."""
        return bool(self._positions) and self._output_log.size - max(self._positions.values()) > WINDOW

    def on_room(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, as soon as somebody has caught up."""
        self._waiting.append(resume)

    def moved(self, viewer: object, offset: int) -> None:
        """Note where a viewer is, new or not."""
        self._positions[viewer] = offset
        self._let_go()

    def left(self, viewer: object) -> None:
        """Forget a viewer."""
        self._positions.pop(viewer, None)
        self._let_go()

    def _let_go(self) -> None:
        if self._waiting and not self.congested:
            waiting, self._waiting = self._waiting, []
            for resume in waiting:
                resume()
