"""Decide when a figure is reported: when it is shown, or at exit if it was never shown.

Nothing here may change what the user's program does: every wrapper calls the original with the same arguments, and a
figure that cannot be read is reported without its data.
"""

import atexit
import contextlib
import functools
import logging
import os
import sys
import warnings
import weakref

from . import sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, List

# Reported figures: each is reported once, and again only after it changed.
_reported: "Any" = weakref.WeakSet()
_plotly: "List[Any]" = []
_shown_plotly: "Any" = {}
# The process that reports figures at exit.
_main = {"pid": os.getpid()}


def axes_loaded(module: "Any") -> None:
    """Record the numbers that axes are given and do not keep."""
    from . import records

    axes = module.Axes
    for name, record in records.RECORDERS.items():
        if hasattr(axes, name):
            setattr(axes, name, _recording(getattr(axes, name), record))


def _recording(original: "Callable[..., Any]", record: "Callable[..., None]") -> "Callable[..., Any]":
    @functools.wraps(original)
    def wrapper(*args: "Any", **kwargs: "Any") -> "Any":
        result = original(*args, **kwargs)
        with contextlib.suppress(Exception):  # figures are read without this record
            record(result, *args, **kwargs)
        return result

    return wrapper


def figure_loaded(module: "Any") -> None:
    """Have ``fig.show()`` report the figure."""
    module.Figure.show = functools.wraps(module.Figure.show)(lambda self, *args, **kwargs: report(self))


def pyplot_loaded(module: "Any") -> None:
    """Have ``plt.show()`` report and close all figures; at exit report the open ones."""
    gcf = sys.modules["matplotlib._pylab_helpers"].Gcf

    def show(*args: "Any", **kwargs: "Any") -> None:
        report_open(gcf)
        module.close("all")

    module.show = functools.wraps(module.show)(show)
    # Exit handlers run in reverse order: this one before the library's own, which destroys all figures.
    atexit.register(at_end, gcf)


def forked() -> None:
    """Report at the end of this process, after a fork that is not the user's."""
    _main["pid"] = os.getpid()


def at_end(gcf: "Any") -> None:
    """Report figures that were never shown, but not in a process that the program forked: its figures are copies."""
    if os.getpid() == _main["pid"]:
        report_open(gcf)


def report_open(gcf: "Any") -> None:
    """Report the open figures in the order of their numbers."""
    for _, manager in sorted(gcf.figs.items()):
        report(manager.canvas.figure)


def report(figure: "Any") -> None:
    """Report one figure, unless it was reported and has not changed since."""
    try:
        if figure in _reported and not figure.stale:
            return
        with _quiet():
            from . import figures

            mime = figures.read(figure)
        sink.put(mime)
        _reported.add(figure)
        figure.stale = False
    except Exception:
        return


@contextlib.contextmanager
def _quiet() -> "Iterator[None]":
    """Keep warnings and matplotlib's log out of the program's output."""
    log = logging.getLogger("matplotlib")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            log.setLevel(level)


def plotly_loaded(module: "Any") -> None:
    """Report plotly figures when they are shown, or at exit if none was shown."""
    figure = module.BaseFigure
    original = figure.__init__

    @functools.wraps(original)
    def init(self: "Any", *args: "Any", **kwargs: "Any") -> None:
        original(self, *args, **kwargs)
        _plotly.append(weakref.ref(self))

    figure.__init__ = init
    figure.show = functools.wraps(figure.show)(lambda self, *args, **kwargs: report_plotly(self))
    atexit.register(plotly_at_end)


def plotly_io_loaded(module: "Any") -> None:
    """Have ``plotly.io.show`` report its figure."""
    module.show = functools.wraps(module.show)(lambda fig, *args, **kwargs: report_plotly(fig))


def plotly_at_end() -> None:
    """Report the figures that still exist if the program showed none."""
    if _shown_plotly or os.getpid() != _main["pid"]:
        return
    for reference in _plotly:
        figure = reference()
        if figure is not None and len(figure.data):
            report_plotly(figure)


def report_plotly(figure: "Any") -> None:
    """Report one plotly figure."""
    try:
        from . import plotly

        sink.put(plotly.read(figure))
        _shown_plotly[id(figure)] = figure
    except Exception:
        return
