"""Read one axis: its label, ticks and scale, and its values as JSON numbers (dates in seconds since 1970)."""

import datetime as dt
import importlib

from .values import number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple

DAY = 86400.0
EPOCH = dt.datetime(1970, 1, 1)


def of(axes: "Any", name: str) -> "Any":
    """Return the x or y axis."""
    return axes.xaxis if name == "x" else axes.yaxis


def describe(axes: "Any", source: str, name: str) -> "Dict[str, Any]":
    """Return the fields of a chart that describe axis ``source``, under the names of axis ``name``."""
    which = of(axes, source)
    ticks, labels = _ticks(axes, which)
    result: Dict[str, Any] = {
        name + "_label": text(which.get_label_text()),
        name + "_scale": scale(axes, which, ticks, labels),
        name + "_ticks": ticks,
        name + "_tick_labels": labels,
    }
    if result[name + "_scale"] == "datetime":
        result[name + "_ticks_iso"] = [iso(tick) for tick in ticks]
    return result


def _ticks(axes: "Any", which: "Any") -> "Tuple[List[float], List[str]]":
    places = list(which.get_majorticklocs())
    texts = [text(label.get_text()) for label in which.get_ticklabels()]
    pairs = [(value, label) for value, label in zip(plain(axes, which, places), texts) if value is not None]
    return [value for value, _ in pairs], [label for _, label in pairs]


def scale(axes: "Any", which: "Any", ticks: "Sequence[float]", labels: "Sequence[str]") -> str:
    """Return the scale by the name that the SDKs use."""
    if is_date(axes, which):
        return "datetime"
    if categories(which) is not None:
        return "categorical"
    found = text(which.get_scale())
    if found != "linear" or not ticks:
        return found
    named = any(label not in (str(place), "") for place, label in enumerate(labels))
    counted = all(abs(tick - place) < 1e-9 for place, tick in enumerate(ticks))
    return "categorical" if is_labelled(which) and named and counted else found


def is_labelled(which: "Any") -> bool:
    """Tell whether the user wrote the labels of the ticks."""
    return type(which.get_major_formatter()).__name__ in ("FixedFormatter", "FuncFormatter")


def _converter(which: "Any") -> "Any":
    return which.get_converter() if hasattr(which, "get_converter") else which.converter


def categories(which: "Any") -> "Optional[Dict[int, str]]":
    """Return the name of each category by its position, None if the axis is not categorical."""
    mapping = getattr(getattr(which, "units", None), "_mapping", None)
    if mapping is None or type(_converter(which)).__name__ != "StrCategoryConverter":
        return None
    return {int(place): text(name) for name, place in mapping.items()}


def _frequency(axes: "Any", which: "Any") -> "Any":
    """Return the frequency of an axis that pandas numbers in periods (of days, months, …), else None."""
    if which is not axes.xaxis:
        return None
    return getattr(which, "freq", None) or getattr(axes, "freq", None)


def is_date(axes: "Any", which: "Any") -> bool:
    """Tell whether the axis shows time."""
    if _frequency(axes, which) is not None:
        return True
    names = {base.__name__ for base in type(_converter(which)).__mro__}
    if names & {"DateConverter", "ConciseDateConverter", "_SwitchableDateConverter", "DatetimeConverter"}:
        return True
    shown = {base.__name__ for base in type(which.get_major_formatter()).__mro__}
    return bool(shown & {"DateFormatter", "AutoDateFormatter", "ConciseDateFormatter"})


def plain(axes: "Any", which: "Any", values: "Any") -> "List[Optional[float]]":
    """Return axis values as JSON numbers, None for those that have none."""
    frequency = _frequency(axes, which)
    if frequency is not None:
        pandas = importlib.import_module("pandas")
        return [_period(pandas, each, frequency) for each in values]
    if is_date(axes, which):
        dates = importlib.import_module("matplotlib.dates")
        start = float(dates.date2num(EPOCH))
        found = [number(each) for each in values]
        return [None if each is None else round((each - start) * DAY, 6) for each in found]
    return [number(each) for each in values]


def _period(pandas: "Any", value: "Any", frequency: "Any") -> "Optional[float]":
    if isinstance(value, pandas.Period):
        return float(value.to_timestamp().timestamp())
    found = number(value)
    if found is None:
        return None
    return float(pandas.Period(ordinal=int(found), freq=frequency).to_timestamp().timestamp())


def iso(seconds: float) -> str:
    """Return a time as ISO 8601."""
    return (EPOCH + dt.timedelta(seconds=seconds)).isoformat()


def name_of(axes: "Any", which: "Any", place: float) -> str:
    """Return the label of a position: its category, the label of its tick, its date, or the number."""
    known = categories(which)
    if known is not None:
        return known.get(round(place), "%g" % place)
    if is_date(axes, which):
        found = plain(axes, which, [place])[0]
        return "" if found is None else _day(iso(found))
    near = _nearest(which, place)
    return near if near is not None else "%g" % place


def _day(moment: str) -> str:
    return moment[:10] if moment.endswith("T00:00:00") else moment


def _nearest(which: "Any", place: float) -> "Optional[str]":
    """Return the label of the tick nearest to a place if the user wrote the labels."""
    if not is_labelled(which):
        return None
    labelled = [
        (abs(float(tick) - place), text(label.get_text()))
        for tick, label in zip(which.get_majorticklocs(), which.get_ticklabels())
        if label.get_text()
    ]
    return min(labelled)[1] if labelled else None
