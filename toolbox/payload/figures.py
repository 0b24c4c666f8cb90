"""Read a matplotlib figure: its chart type, its picture and its data."""

import base64
import io

from . import axis, records, series, sink
from .values import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

DPI = 100
# A larger figure is drawn with fewer dots per inch.
MAX_PIXELS = 4_000_000


def read(figure: "Any") -> "Dict[str, Any]":
    """Return the MIME bundle of a figure: its chart, without data that cannot be read, and its picture."""
    # The picture first: ticks and their labels are only known after drawing.
    png = _picture(figure)
    chart: Dict[str, Any] = {"type": "unknown", "title": _title(figure), "elements": []}
    try:
        charts = [_read_axes(axes) for axes in figure.axes if _has_data(axes)]
        if len(charts) == 1:
            charts[0]["title"] = charts[0]["title"] or chart["title"]
            chart = charts[0]
        elif charts:
            chart.update(type="composite_chart", elements=charts)
    except Exception:
        pass
    return {sink.CHART: chart, sink.PNG: png} if png else {sink.CHART: chart}


def _picture(figure: "Any") -> str:
    try:
        width, height = figure.get_size_inches()
        dpi = min(DPI, (MAX_PIXELS / max(width * height, 0.01)) ** 0.5)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=dpi, bbox_inches="tight")
        return base64.b64encode(target.getvalue()).decode("ascii")
    except Exception:
        return ""


def _title(figure: "Any") -> str:
    """Return the title of a whole figure."""
    title = getattr(figure, "_suptitle", None)
    return text(title.get_text()) if title is not None else ""


def _has_data(axes: "Any") -> bool:
    if axes.get_label() == "<colorbar>" or getattr(axes, "_colorbar", None) is not None:
        return False
    return bool(axes.has_data() or axes.get_images() or axes in records.pies)


def _read_axes(axes: "Any") -> "Dict[str, Any]":
    """Return the chart of one pair of axes."""
    try:
        kind, elements, vertical = _classify(axes)
    except Exception:
        kind, elements, vertical = "unknown", [], True
    chart: Dict[str, Any] = {"type": kind, "title": _axes_title(axes)}
    if kind != "pie":
        first, second = ("x", "y") if vertical else ("y", "x")
        for name, source in (("x", first), ("y", second)):
            chart.update(axis.describe(axes, source, name))
    chart["elements"] = elements
    return chart


def _axes_title(axes: "Any") -> str:
    titles = [axes.get_title(loc) for loc in ("center", "left", "right")]
    return text(next((title for title in titles if title), ""))


def _classify(axes: "Any") -> "Any":
    """Return the chart type, its elements, and whether its values are on the y axis."""
    if axes.name != "rectilinear":
        return "unknown", [], True
    if axes in records.boxes:
        return "box_and_whisker", series.boxes(axes), True
    if axes in records.pies:
        return "pie", series.slices(axes), True
    if _is_picture(axes):
        return "unknown", [], True
    if axes in records.histograms:
        return "bar", series.histogram(axes), records.histograms[axes][0][3] != "horizontal"
    bars = series.bar_containers(axes)
    if bars:
        return "bar", series.bars(axes, bars), bars[0].orientation != "horizontal"
    return _points(axes)


def _is_picture(axes: "Any") -> bool:
    kinds = {base.__name__ for item in axes.collections for base in type(item).__mro__}
    return bool(axes.get_images()) or bool(kinds & {"QuadMesh", "ContourSet", "TriMesh"})


def _points(axes: "Any") -> "Any":
    scatters, lines = series.scatters(axes), series.lines(axes)
    labels: List[str] = series.labels([label for label, _ in scatters + lines])
    elements = [{"label": label, "points": points} for label, (_, points) in zip(labels, scatters + lines)]
    if not scatters:
        return ("line" if lines else "unknown"), elements, True
    for element in elements[len(scatters) :]:
        element["type"] = "line"
    return "scatter", elements, True
