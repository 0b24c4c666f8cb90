"""Read a plotly figure: traces of lines, points, bars, pies or boxes as a chart, all others as plotly's JSON."""

import datetime as dt
import json

from . import sink
from .values import number, plain_label, shortest, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

    Trace = Dict[str, Any]
    Element = Dict[str, Any]


def read(figure: "Any") -> "Dict[str, Any]":
    """Return the MIME bundle of a figure: its chart, and its own JSON if the chart has no data.

    There is no picture, because drawing one takes a browser.
    """
    plain = json.loads(figure.to_json())
    layout = plain.get("layout", {})
    chart: Dict[str, Any] = {"type": "unknown", "title": _title(layout), "elements": []}
    for name in ("x", "y"):
        chart[name + "_label"] = _title(layout.get(name + "axis", {}))
    try:
        kind, elements = _map(figure.data)
    except Exception:
        kind, elements = "unknown", []
    chart.update(type=kind, elements=elements)
    mime: Dict[str, Any] = {sink.CHART: chart}
    if kind == "unknown":
        mime[sink.PLOTLY] = _finite(plain)
    return mime


def _title(holder: "Dict[str, Any]") -> str:
    title = holder.get("title") or ""
    return text((title.get("text") or "") if isinstance(title, dict) else title)


def _finite(value: "Any") -> "Any":
    if isinstance(value, dict):
        return {text(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return number(value) if isinstance(value, float) else text(value) if isinstance(value, str) else value


def _map(traces: "Any") -> "Any":
    kinds = {trace.type for trace in traces}
    axes = {getattr(trace, "xaxis", None) or "x" for trace in traces if trace.type != "pie"}
    if len(kinds) != 1 or len(axes) > 1:
        return "unknown", []
    kind = "scatter" if kinds == {"scattergl"} else kinds.pop()
    readers = {"scatter": _points, "bar": _bars, "pie": _slices, "box": _boxes}
    return readers[kind](traces) if kind in readers else ("unknown", [])


def _points(traces: "Any") -> "Any":
    line = any("lines" in (trace.mode or "lines") for trace in traces)
    return ("line" if line else "scatter"), [
        {"label": plain_label(trace.name or ""), "points": _pairs(trace.x, trace.y)} for trace in traces
    ]


def _pairs(x: "Any", y: "Any") -> "List[List[float]]":
    xs = [_place(each, place) for place, each in enumerate(range(len(y)) if x is None else x)]
    pairs = zip(xs, map(number, y))
    return [[first, second] for first, second in pairs if first is not None and second is not None]


def _place(value: "Any", place: int) -> "Optional[float]":
    """Return a coordinate as a number: a date in seconds since 1970, a category as its position."""
    if hasattr(value, "timestamp") or type(value).__name__ == "datetime64":
        moment = value.astype("datetime64[us]").item() if hasattr(value, "astype") else value
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.timezone.utc)
        return float(moment.timestamp())
    return float(place) if isinstance(value, str) else number(value)


def _bars(traces: "Any") -> "Any":
    found: List[Element] = []
    for trace in traces:
        flat = trace.orientation == "h"
        names, values = (trace.y, trace.x) if flat else (trace.x, trace.y)
        for name, value in zip(range(len(values)) if names is None else names, values):
            shown = shortest(value)
            if shown is not None:
                found.append({"label": text(name), "group": plain_label(trace.name or ""), "value": shown})
    return "bar", found


def _slices(traces: "Any") -> "Any":
    found: List[Element] = []
    for trace in traces:
        total = sum(number(value) or 0.0 for value in trace.values)
        for name, value in zip(trace.labels, trace.values):
            share = (number(value) or 0.0) / total if total else 0.0
            found.append({"label": text(name), "angle": 360.0 * share, "radius": 1.0})
    return "pie", found


def _boxes(traces: "Any") -> "Any":
    if any(trace.q1 is not None for trace in traces) or any(trace.y is None for trace in traces):
        return "unknown", []
    found: List[Element] = []
    for trace in traces:
        groups: Dict[str, List[float]] = {}
        for place, value in enumerate(trace.y):
            name = plain_label(trace.name or "") if trace.x is None else text(trace.x[place])
            plain = number(value)
            if plain is not None:
                groups.setdefault(name, []).append(plain)
        found += [_box(name, sorted(values)) for name, values in groups.items()]
    return "box_and_whisker", found


def _box(name: str, values: "List[float]") -> "Element":
    first, middle, third = (_quantile(values, share) for share in (0.25, 0.5, 0.75))
    reach = 1.5 * (third - first)
    inside = [value for value in values if first - reach <= value <= third + reach]
    return {
        "label": name,
        "min": inside[0],
        "first_quartile": first,
        "median": middle,
        "third_quartile": third,
        "max": inside[-1],
        "outliers": [value for value in values if not first - reach <= value <= third + reach],
    }


def _quantile(values: "List[float]", share: float) -> float:
    """Return a quantile the way plotly draws it: the middle of each value's share of the whole."""
    place = min(max(share * len(values) - 0.5, 0.0), len(values) - 1.0)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
