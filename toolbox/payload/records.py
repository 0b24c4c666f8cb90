"""Records of plotting calls: data that cannot be read from the artists afterwards."""

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

# By axes: boxes as (statistics, positions, vertical), histograms as (counts by dataset, edges, artists by dataset),
# pies as (wedges, texts, percentages).
boxes: "Any" = weakref.WeakKeyDictionary()
histograms: "Any" = weakref.WeakKeyDictionary()
pies: "Any" = weakref.WeakKeyDictionary()


def _record_boxes(result: "Any", axes: "Any", bxpstats: "List[Dict[str, Any]]", *args: "Any", **kwargs: "Any") -> None:
    positions = args[0] if args else kwargs.get("positions")
    if positions is None:
        positions = range(1, len(bxpstats) + 1)
    vertical = kwargs.get("vert", args[2] if len(args) > 2 else None)
    if vertical is None:
        vertical = kwargs.get("orientation", "vertical") == "vertical"
    boxes.setdefault(axes, []).append((list(bxpstats), list(positions), bool(vertical)))


def _record_histogram(result: "Any", axes: "Any", *args: "Any", **kwargs: "Any") -> None:
    counts, edges, artists = result
    many = len(artists) > 0 and hasattr(artists[0], "__len__")
    several = many or getattr(counts, "ndim", 1) == 2
    groups = list(artists) if several else [artists]
    rows = list(counts) if several else [counts]
    label = kwargs.get("label")
    labels = [_label(group) for group in groups]
    if not any(labels) and label is not None:
        labels = [str(each) for each in ([label] if isinstance(label, str) else label)]
    if kwargs.get("stacked"):
        rows = [row - (rows[number - 1] if number else 0) for number, row in enumerate(rows)]
    histograms.setdefault(axes, []).append((rows, edges, labels, kwargs.get("orientation", "vertical")))


def _label(artist: "Any") -> str:
    """Return the label of a group of bars; some releases of matplotlib set it on the first bar only."""
    candidates = [artist, *(artist[:1] if hasattr(artist, "__len__") else ())]
    found = [str(each.get_label()) for each in candidates if hasattr(each, "get_label")]
    return next((label for label in found if label and not label.startswith("_")), "")


def _record_pie(result: "Any", axes: "Any", *args: "Any", **kwargs: "Any") -> None:
    parts = list(result)
    pies.setdefault(axes, []).append((parts[0], parts[1], parts[2] if len(parts) > 2 else []))


RECORDERS = {"bxp": _record_boxes, "hist": _record_histogram, "pie": _record_pie}
