"""Read the data of the artists on one pair of axes."""

import math

from . import axis, records
from .values import number, numbers, plain_label, shortest, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Tuple

    Series = Tuple[str, List[List[float]]]
    Element = Dict[str, Any]


def labels(found: "List[str]") -> "List[str]":
    """Return a label per series: one without gets a number, unless it is the only one."""
    if len(found) == 1:
        return found
    names, count = [], 0
    for label in found:
        count += not label
        names.append(label or "Series %d" % count)
    return names


def lines(axes: "Any") -> "List[Series]":
    """Return the lines that show data: no helper lines, no parts of error bars, boxes or stems."""
    helpers = _helpers(axes)
    found = []
    for line in axes.get_lines():
        if id(line) in helpers or line.get_transform() != axes.transData or not len(line.get_xdata(orig=False)):
            continue
        if type(line).__name__ not in ("AxLine", "_AxLine"):
            points = _pairs(axes, line.get_xdata(orig=False), line.get_ydata(orig=False))
            found.append((_line_label(axes, line), points))
    return found


def _filled(values: "Any") -> "Any":
    if hasattr(values, "mask") and hasattr(values, "filled"):
        return values.astype(float).filled(math.nan)
    return values


def _pairs(axes: "Any", x: "Any", y: "Any") -> "List[List[float]]":
    xs, ys = axis.plain(axes, axes.xaxis, _filled(x)), axis.plain(axes, axes.yaxis, _filled(y))
    return [[first, second] for first, second in zip(xs, ys) if first is not None and second is not None]


def _line_label(axes: "Any", line: "Any") -> str:
    label = plain_label(line.get_label())
    if label:
        return label
    found = legend_label(axes, line.get_color())
    if found:
        return found
    # The label of an error bar or a stem plot is set on its container.
    for container in axes.containers:
        if getattr(container, "lines", None) or hasattr(container, "markerline"):
            main = getattr(container, "markerline", None) or container[0]
            if main is line:
                return plain_label(container.get_label())
    return ""


def legend_label(axes: "Any", color: "Any") -> str:
    """Return the legend text of a color, for artists that have no label of their own."""
    from matplotlib.colors import to_rgba

    legend = axes.get_legend()
    if legend is None:
        return ""
    handles = getattr(legend, "legend_handles", None) or getattr(legend, "legendHandles", [])
    for handle, label in zip(handles, legend.get_texts()):
        shown: "Any" = handle.get_color() if hasattr(handle, "get_color") else getattr(handle, "get_facecolor", tuple)()
        try:
            if to_rgba(shown) == to_rgba(color):
                return plain_label(label.get_text())
        except ValueError:
            continue
    return ""


def _helpers(axes: "Any") -> "set[int]":
    found: "set[int]" = set()
    for container in axes.containers:
        kind = type(container).__name__
        if kind == "ErrorbarContainer":
            found.update(id(part) for part in container.lines[1])
        elif kind == "StemContainer":
            found.add(id(container.baseline))
            if not hasattr(container.stemlines, "get_segments"):
                found.update(map(id, container.stemlines))
        elif kind == "BarContainer" and getattr(container, "errorbar", None) is not None:
            found.update(id(part) for part in (container.errorbar.lines[0], *container.errorbar.lines[1]))
    return found


def scatters(axes: "Any") -> "List[Series]":
    """Return the scatter plots."""
    found = []
    for item in axes.collections:
        if type(item).__name__ != "PathCollection" or not len(item.get_offsets()) or not _is_placed(axes, item):
            continue
        offsets = item.get_offsets()
        found.append((plain_label(item.get_label()), _pairs(axes, offsets[:, 0], offsets[:, 1])))
    return found


def _is_placed(axes: "Any", item: "Any") -> bool:
    """Tell whether offsets are data; old releases of matplotlib draw contour levels with offsets that are not."""
    found = getattr(item, "get_offset_transform", None)
    return found is None or bool(found() == axes.transData)


def bar_containers(axes: "Any") -> "List[Any]":
    """Return the groups of bars."""
    return [item for item in axes.containers if type(item).__name__ == "BarContainer" and len(item)]


def bars(axes: "Any", containers: "List[Any]") -> "List[Element]":
    """Return an element per bar."""
    found = []
    for container in containers:
        upright = container.orientation != "horizontal"
        which = axis.of(axes, "x" if upright else "y")
        spans = [_span(patch, upright) for patch in container]
        binned = _are_bins(axes, which, spans)
        group = plain_label(container.get_label()) or legend_label(axes, container[0].get_facecolor())
        for span, value in zip(spans, container.datavalues):
            shown = shortest(value)
            if shown is not None:
                label = bin_label(*span) if binned else axis.name_of(axes, which, sum(span) / 2)
                found.append({"label": label, "group": group, "value": shown})
    return found


def _span(patch: "Any", upright: bool) -> "Tuple[float, float]":
    start, size = (patch.get_x(), patch.get_width()) if upright else (patch.get_y(), patch.get_height())
    return float(start), float(start + size)


def _are_bins(axes: "Any", which: "Any", spans: "List[Tuple[float, float]]") -> bool:
    """Tell whether bars are those of a histogram: each begins where the one before ends, and not around integers."""
    if len(spans) < 2 or axis.is_labelled(which) or axis.categories(which) is not None or axis.is_date(axes, which):
        return False
    width = abs(spans[0][1] - spans[0][0]) or 1.0
    touching = all(abs(left[1] - right[0]) < 1e-6 * width for left, right in zip(spans, spans[1:]))
    whole = all(abs((low + high) / 2 - round((low + high) / 2)) < 1e-9 for low, high in spans)
    return touching and not (whole and abs(width - 1) < 1e-9)


def bin_label(low: float, high: float) -> str:
    """Return the name of a bin."""
    return "%g\u2013%g" % (low, high)


def histogram(axes: "Any") -> "List[Element]":
    """Return an element per dataset and bin."""
    found = []
    for counts, edges, names, orientation in records.histograms[axes]:
        which = axis.of(axes, "x" if orientation != "horizontal" else "y")
        dated = axis.is_date(axes, which)
        for row, name in zip(counts, names):
            for low, high, value in zip(edges, edges[1:], row):
                shown = shortest(value)
                if shown is not None:
                    parts = [axis.name_of(axes, which, float(each)) for each in (low, high)] if dated else []
                    label = "\u2013".join(parts) if dated else bin_label(float(low), float(high))
                    found.append({"label": label, "group": plain_label(name), "value": shown})
    return found


def slices(axes: "Any") -> "List[Element]":
    """Return an element per slice of a pie, rings from the outside in the order they were drawn."""
    found = []
    for wedges, texts, percentages in records.pies[axes]:
        for place, wedge in enumerate(wedges):
            label = plain_label(wedge.get_label())
            if not label and place < len(texts):
                label = text(texts[place].get_text())
            element: Element = {
                "label": label,
                "angle": number(abs(wedge.theta2 - wedge.theta1)),
                "radius": number(wedge.r),
            }
            if place < len(percentages):
                element["autopct"] = text(percentages[place].get_text())
            found.append(element)
    return found


def boxes(axes: "Any") -> "List[Element]":
    """Return an element per box."""
    found = []
    for statistics, positions, vertical in records.boxes[axes]:
        which = axis.of(axes, "x" if vertical else "y")
        for one, position in zip(statistics, positions):
            names = ("whislo", "q1", "med", "q3", "whishi")
            low, first, middle, third, high = (number(one.get(name)) for name in names)
            found.append(
                {
                    "label": _box_label(axes, which, one, float(position)),
                    "min": low,
                    "first_quartile": first,
                    "median": middle,
                    "third_quartile": third,
                    "max": high,
                    "outliers": numbers(one.get("fliers", ())),
                }
            )
    return found


def _box_label(axes: "Any", which: "Any", statistics: "Element", position: float) -> str:
    if statistics.get("label"):
        return text(statistics["label"])
    return axis.name_of(axes, which, position)
