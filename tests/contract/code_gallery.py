"""Plotting programs, each with what was plotted: worked out from the data, never from an answer of ours."""

# ruff: noqa: E501 - a program of one line stays one

from __future__ import annotations

import calendar
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

PLT = "import matplotlib.pyplot as plt\n"
NP = "import numpy as np\n"
SNS = "import seaborn as sns\nimport pandas as pd\n"
PD = "import pandas as pd\n"


@dataclasses.dataclass(frozen=True)
class Piece:
    """A program and the charts it has to give: each a dict of the fields that must be there, with these values."""

    name: str
    code: str
    charts: list[dict[str, Any]]


def series(label: str, xs: Sequence[float], ys: Sequence[float], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": [[x, y] for x, y in zip(xs, ys, strict=True)], **more}


def bars(group: str, **values: float) -> list[dict[str, Any]]:
    return [{"label": label, "group": group, "value": f"{value:g}"} for label, value in values.items()]


def bins(edges: Sequence[float], counts: Sequence[float], group: str = "") -> list[dict[str, Any]]:
    pairs = zip(edges, edges[1:], counts, strict=False)
    return [{"label": f"{low:g}\u2013{high:g}", "group": group, "value": f"{count:g}"} for low, high, count in pairs]


def box(label: str, low: float, first: float, middle: float, third: float, high: float, *outliers: float) -> dict:
    return {
        "label": label,
        "min": low,
        "first_quartile": first,
        "median": middle,
        "third_quartile": third,
        "max": high,
        "outliers": list(outliers),
    }


def epoch(year: int, month: int, day: int, hour: int = 0) -> float:
    return float(calendar.timegm((year, month, day, hour, 0, 0)))


def line(*elements: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "line", "elements": list(elements), **fields}


def bar(elements: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"type": "bar", "elements": elements, **fields}


XS = list(range(10))
FRAME = "df = pd.DataFrame({'k': ['a', 'b', 'a', 'b', 'a', 'b'], 'h': ['u', 'u', 'v', 'v', 'u', 'v'], 'v': [1, 2, 3, 4, 5, 6]})\n"
DAYS = [epoch(2024, 1, day) for day in (1, 2, 3)]

GALLERY = [
    Piece("line", PLT + "plt.plot([1, 2, 3], [4, 5, 6])\nplt.show()", [line(series("", [1, 2, 3], [4, 5, 6]))]),
    Piece(
        "line with every text",
        PLT
        + "plt.plot([1, 2], [3, 4], label='s')\nplt.title('T')\nplt.xlabel('X')\nplt.ylabel('Y')\nplt.legend()\nplt.show()",
        [line(series("s", [1, 2], [3, 4]), title="T", x_label="X", y_label="Y", x_scale="linear", y_scale="linear")],
    ),
    Piece(
        "two lines without names",
        PLT + "plt.plot([1, 2]); plt.plot([3, 4])\nplt.show()",
        [line(series("Series 1", [0, 1], [1, 2]), series("Series 2", [0, 1], [3, 4]))],
    ),
    Piece(
        "two-point horizontal line is data, axhline is not",
        PLT + "plt.plot([0, 5], [1, 1], label='flat')\nplt.axhline(3)\nplt.axvline(2)\nplt.grid()\nplt.show()",
        [line(series("flat", [0, 5], [1, 1]))],
    ),
    Piece(
        "gaps",
        PLT + "plt.plot([1, 2, 3, 4], [1, float('nan'), 3, float('inf')])\nplt.show()",
        [line(series("", [1, 3], [1, 3]))],
    ),
    Piece(
        "masked values",
        PLT + NP + "plt.plot(np.ma.masked_equal([1, 2, 9, 4], 9))\nplt.show()",
        [line(series("", [0, 1, 3], [1, 2, 4]))],
    ),
    Piece(
        "sine",
        PLT + NP + "x = np.linspace(0, 6, 50)\nplt.plot(x, np.sin(x), '--r', label='sin')\nplt.show()",
        [line(series("sin", [6 * n / 49 for n in range(50)], [math.sin(6 * n / 49) for n in range(50)]))],
    ),
    Piece(
        "log axes",
        PLT + "plt.loglog([1, 10, 100], [2, 20, 200])\nplt.show()",
        [line(series("", [1, 10, 100], [2, 20, 200]), x_scale="log", y_scale="log")],
    ),
    Piece(
        "symlog",
        PLT + "plt.plot([-10, 0, 10])\nplt.yscale('symlog')\nplt.show()",
        [line(series("", [0, 1, 2], [-10, 0, 10]), y_scale="symlog")],
    ),
    Piece(
        "dates",
        PLT + "import datetime as dt\nplt.plot([dt.datetime(2024, 1, d) for d in (1, 2, 3)], [1, 2, 3])\nplt.show()",
        [line(series("", DAYS, [1, 2, 3]), x_scale="datetime")],
    ),
    Piece(
        "numpy dates",
        PLT
        + NP
        + "plt.plot(np.array(['2024-01-01', '2024-01-02', '2024-01-03'], 'datetime64[D]'), [1, 2, 3])\nplt.show()",
        [line(series("", DAYS, [1, 2, 3]), x_scale="datetime")],
    ),
    Piece(
        "categories",
        PLT + "plt.plot(['low', 'mid', 'high'], [1, 5, 9])\nplt.show()",
        [line(series("", [0, 1, 2], [1, 5, 9]), x_scale="categorical", x_tick_labels=["low", "mid", "high"])],
    ),
    Piece("steps", PLT + "plt.step([1, 2, 3], [3, 1, 2])\nplt.show()", [line(series("", [1, 2, 3], [3, 1, 2]))]),
    Piece(
        "error bars",
        PLT + "plt.errorbar([1, 2, 3], [4, 5, 6], yerr=[.1, .2, .3], capsize=3, label='e')\nplt.show()",
        [line(series("e", [1, 2, 3], [4, 5, 6]))],
    ),
    Piece("stems", PLT + "plt.stem([1, 2, 3], [3, 1, 2])\nplt.show()", [line(series("", [1, 2, 3], [3, 1, 2]))]),
    Piece(
        "band around a line",
        PLT + "plt.fill_between([1, 2], [0, 1], [2, 3], alpha=.3)\nplt.plot([1, 2], [1, 2], label='m')\nplt.show()",
        [line(series("m", [1, 2], [1, 2]))],
    ),
    Piece(
        "scatter",
        PLT + "plt.scatter([1, 2, 3], [9, 8, 7], s=[10, 20, 30], c=[1, 2, 3], label='p')\nplt.colorbar()\nplt.show()",
        [{"type": "scatter", "elements": [series("p", [1, 2, 3], [9, 8, 7])]}],
    ),
    Piece(
        "scatter with a fit",
        PLT + "plt.scatter([1, 2], [3, 4], label='data')\nplt.plot([0, 3], [2, 5], label='fit')\nplt.show()",
        [{"type": "scatter", "elements": [series("data", [1, 2], [3, 4]), series("fit", [0, 3], [2, 5], type="line")]}],
    ),
    Piece("bars", PLT + "plt.bar(['a', 'b'], [4, .5])\nplt.show()", [bar(bars("", a=4, b=0.5))]),
    Piece("equal bars", PLT + "plt.bar(['a', 'b', 'c'], [2, 2, 2])\nplt.show()", [bar(bars("", a=2, b=2, c=2))]),
    Piece("negative bars", PLT + "plt.bar(['a', 'b'], [-4, 3])\nplt.show()", [bar(bars("", a=-4, b=3))]),
    Piece(
        "bars at numbers",
        PLT + "plt.bar([2010, 2015, 2020], [1, 2, 3])\nplt.show()",
        [bar(bars("", **{"2010": 1, "2015": 2, "2020": 3}))],
    ),
    Piece(
        "horizontal bars",
        PLT + "plt.barh(['a', 'b'], [1, 2])\nplt.xlabel('value')\nplt.ylabel('name')\nplt.show()",
        [bar(bars("", a=1, b=2), x_label="name", y_label="value")],
    ),
    Piece(
        "grouped bars",
        PLT
        + NP
        + "x = np.arange(2)\nfig, ax = plt.subplots()\nax.bar(x - .2, [1, 2], .4, label='A')\nax.bar(x + .2, [3, 4], .4, label='B')\n"
        + "ax.set_xticks(x, ['p', 'q'])\nax.legend()\nplt.show()",
        [bar(bars("A", p=1, q=2) + bars("B", p=3, q=4))],
    ),
    Piece(
        "stacked bars",
        PLT
        + "plt.bar(['p', 'q'], [1, 2], label='A')\nplt.bar(['p', 'q'], [3, 4], bottom=[1, 2], label='B')\nplt.show()",
        [bar(bars("A", p=1, q=2) + bars("B", p=3, q=4))],
    ),
    Piece(
        "bars on dates",
        PLT + "import datetime as dt\nplt.bar([dt.date(2024, 1, 1), dt.date(2024, 1, 2)], [5, 6])\nplt.show()",
        [bar(bars("", **{"2024-01-01": 5, "2024-01-02": 6}), x_scale="datetime")],
    ),
    Piece(
        "histogram",
        PLT + "plt.hist([1, 2, 2, 3, 9], bins=[0, 2, 4, 10])\nplt.show()",
        [bar(bins([0, 2, 4, 10], [1, 3, 1]))],
    ),
    Piece(
        "two histograms",
        PLT + "plt.hist([[1, 1, 2], [2, 3]], bins=[0, 2, 4], label=['A', 'B'])\nplt.show()",
        [bar(bins([0, 2, 4], [2, 1], "A") + bins([0, 2, 4], [0, 2], "B"))],
    ),
    Piece(
        "stacked histograms",
        PLT + "plt.hist([[1, 1, 2], [2, 3]], bins=[0, 2, 4], stacked=True, label=['A', 'B'])\nplt.show()",
        [bar(bins([0, 2, 4], [2, 1], "A") + bins([0, 2, 4], [0, 2], "B"))],
    ),
    Piece(
        "outlined histogram",
        PLT + "plt.hist([1, 2, 2, 3, 9], bins=[0, 2, 4, 10], histtype='step', label='s')\nplt.show()",
        [bar(bins([0, 2, 4, 10], [1, 3, 1], "s"))],
    ),
    Piece(
        "pie",
        PLT + "plt.pie([1, 2, 5], labels=['a', 'b', 'c'], autopct='%d%%')\nplt.title('P')\nplt.show()",
        [
            {
                "type": "pie",
                "title": "P",
                "elements": [
                    {"label": "a", "angle": 45, "radius": 1, "autopct": "12%"},
                    {"label": "b", "angle": 90, "radius": 1, "autopct": "25%"},
                    {"label": "c", "angle": 225, "radius": 1, "autopct": "62%"},
                ],
            }
        ],
    ),
    Piece(
        "boxes",
        PLT + "plt.boxplot([[1, 2, 3, 4, 20], [2, 4, 6, 8]])\nplt.show()",
        [{"type": "box_and_whisker", "elements": [box("1", 1, 2, 3, 4, 4, 20), box("2", 2, 3.5, 5, 6.5, 8)]}],
    ),
    Piece(
        "boxes with names, lying, filled",
        PLT
        + "ax = plt.gca()\nax.boxplot([[1, 2, 3], [4, 5, 6]], vert=False, patch_artist=True)\nax.set_yticklabels(['x', 'y'])\nplt.show()",
        [{"type": "box_and_whisker", "elements": [box("x", 1, 1.5, 2, 2.5, 3), box("y", 4, 4.5, 5, 5.5, 6)]}],
    ),
    Piece(
        "whiskers without length",
        PLT + "plt.boxplot([[5, 5, 5, 5]])\nplt.show()",
        [{"type": "box_and_whisker", "elements": [box("1", 5, 5, 5, 5, 5)]}],
    ),
    Piece(
        "subplots",
        PLT
        + "fig, (a, b, c) = plt.subplots(1, 3)\nfig.suptitle('All')\na.plot([1, 2])\na.set_title('L')\nb.bar(['x'], [7])\nplt.show()",
        [
            {
                "type": "composite_chart",
                "title": "All",
                "elements": [
                    {"type": "line", "title": "L", "elements": [series("", [0, 1], [1, 2])]},
                    {"type": "bar", "title": "", "elements": bars("", x=7)},
                ],
            }
        ],
    ),
    Piece(
        "twin axes",
        PLT
        + "fig, a = plt.subplots()\na.plot([1, 2], label='l')\nb = a.twinx()\nb.plot([30, 40], label='r')\nplt.show()",
        [
            {
                "type": "composite_chart",
                "elements": [line(series("l", [0, 1], [1, 2])), line(series("r", [0, 1], [30, 40]))],
            }
        ],
    ),
    Piece(
        "image",
        PLT + "plt.imshow([[1, 2], [3, 4]])\nplt.title('I')\nplt.show()",
        [{"type": "unknown", "title": "I", "elements": []}],
    ),
    Piece(
        "heat map with a bar",
        PLT + "plt.pcolormesh([[1, 2], [3, 4]])\nplt.colorbar()\nplt.show()",
        [{"type": "unknown", "elements": []}],
    ),
    Piece("contour", PLT + "plt.contourf([[1, 2], [3, 4]])\nplt.show()", [{"type": "unknown", "elements": []}]),
    Piece(
        "three dimensions",
        PLT + "ax = plt.subplot(projection='3d')\nax.plot([1, 2], [1, 2], [1, 2])\nplt.show()",
        [{"type": "unknown", "elements": []}],
    ),
    Piece("polar", PLT + "plt.polar([0, 1], [1, 2])\nplt.show()", [{"type": "unknown", "elements": []}]),
    Piece("violin", PLT + "plt.violinplot([[1, 2, 3]])\nplt.show()", [{"type": "unknown", "elements": []}]),
    Piece("nothing drawn", PLT + "plt.figure()\nplt.show()", [{"type": "unknown", "elements": []}]),
    Piece(
        "two figures",
        PLT + "plt.figure(2); plt.plot([5, 6])\nplt.figure(1); plt.plot([1, 2])\nplt.show()",
        [line(series("", [0, 1], [1, 2])), line(series("", [0, 1], [5, 6]))],
    ),
    Piece(
        "shown twice, changed between",
        PLT
        + "fig, ax = plt.subplots()\nax.plot([1, 2], label='a')\nfig.show()\nfig.show()\nax.plot([3, 4], label='b')\nfig.show()",
        [line(series("a", [0, 1], [1, 2])), line(series("a", [0, 1], [1, 2]), series("b", [0, 1], [3, 4]))],
    ),
    Piece("never shown", PLT + "plt.plot([1, 2])", [line(series("", [0, 1], [1, 2]))]),
    Piece(
        "saved only",
        PLT + "plt.plot([1, 2])\nplt.savefig('/dev/null', format='png')",
        [line(series("", [0, 1], [1, 2]))],
    ),
    Piece(
        "imported by name",
        "import importlib\np = importlib.import_module('matplotlib.pyplot')\np.plot([1, 2])\np.show()",
        [line(series("", [0, 1], [1, 2]))],
    ),
    Piece(
        "pandas lines",
        PD + "pd.DataFrame({'a': [1, 2], 'b': [3, 4]}).plot()",
        [line(series("a", [0, 1], [1, 2]), series("b", [0, 1], [3, 4]))],
    ),
    Piece(
        "pandas time series",
        PD + "pd.Series([1., 2., 3.], index=pd.date_range('2024-01-01', periods=3), name='s').plot(legend=True)",
        [line(series("s", DAYS, [1, 2, 3]), x_scale="datetime")],
    ),
    Piece(
        "pandas hours",
        PD + "pd.Series([1, 2], index=pd.date_range('2024-01-01', periods=2, freq='h')).plot()",
        [line(series("", [epoch(2024, 1, 1), epoch(2024, 1, 1, 1)], [1, 2]), x_scale="datetime")],
    ),
    Piece(
        "pandas uneven times",
        PD + "pd.Series([1, 2, 3], index=pd.to_datetime(['2024-01-01', '2024-01-02', '2024-03-01'])).plot()",
        [line(series("", [*DAYS[:2], epoch(2024, 3, 1)], [1, 2, 3]), x_scale="datetime")],
    ),
    Piece(
        "pandas bars",
        PD + "pd.DataFrame({'A': [1, 2], 'B': [3, 4]}, index=['p', 'q']).plot.bar()",
        [bar(bars("A", p=1, q=2) + bars("B", p=3, q=4))],
    ),
    Piece(
        "pandas stacked bars, lying",
        PD + "pd.DataFrame({'A': [1, 2], 'B': [3, 4]}, index=['p', 'q']).plot.barh(stacked=True)",
        [bar(bars("A", p=1, q=2) + bars("B", p=3, q=4))],
    ),
    Piece(
        "pandas histogram",
        PD + "pd.Series([1, 2, 2, 3, 9]).plot.hist(bins=[0, 2, 4, 10])",
        [bar(bins([0, 2, 4, 10], [1, 3, 1]))],
    ),
    Piece(
        "pandas boxes",
        PD + "pd.DataFrame({'a': [1, 2, 3], 'b': [4, 5, 6]}).plot.box()",
        [{"type": "box_and_whisker", "elements": [box("a", 1, 1.5, 2, 2.5, 3), box("b", 4, 4.5, 5, 5.5, 6)]}],
    ),
    Piece(
        "pandas scatter",
        PD + "pd.DataFrame({'a': [1, 2], 'b': [3, 4]}).plot.scatter('a', 'b')",
        [{"type": "scatter", "x_label": "a", "y_label": "b", "elements": [series("", [1, 2], [3, 4])]}],
    ),
    Piece(
        "pandas pie",
        PD + "pd.Series([1, 3], index=['a', 'b']).plot.pie()",
        [{"type": "pie", "elements": [{"label": "a", "angle": 90}, {"label": "b", "angle": 270}]}],
    ),
    Piece(
        "seaborn lines",
        SNS + "sns.lineplot(x=[1, 2, 3], y=[4, 5, 6])",
        [line(series("", [1, 2, 3], [4, 5, 6]))],
    ),
    Piece(
        "seaborn lines in groups",
        SNS + FRAME + "sns.lineplot(df, x='v', y='v', hue='k', errorbar=None)",
        [line(series("a", [1, 3, 5], [1, 3, 5]), series("b", [2, 4, 6], [2, 4, 6]))],
    ),
    Piece(
        "seaborn points",
        SNS + FRAME + "sns.scatterplot(df, x='v', y='v')",
        [{"type": "scatter", "elements": [series("", [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])]}],
    ),
    Piece(
        "seaborn bars",
        SNS + FRAME + "sns.barplot(df, x='k', y='v', errorbar=None)",
        [bar(bars("", a=3, b=4), x_label="k", y_label="v")],
    ),
    Piece(
        "seaborn bars in groups",
        SNS + FRAME + "sns.barplot(df, x='k', y='v', hue='h', errorbar=None)",
        [bar(bars("u", a=3, b=2) + bars("v", a=3, b=5))],
    ),
    Piece("seaborn counts", SNS + FRAME + "sns.countplot(df, x='h')", [bar(bars("", u=3, v=3))]),
    Piece(
        "seaborn histogram",
        SNS + "sns.histplot([1, 2, 2, 3, 9], bins=[0, 2, 4, 10])",
        [bar(bins([0, 2, 4, 10], [1, 3, 1]))],
    ),
    Piece(
        "seaborn boxes",
        SNS + FRAME + "sns.boxplot(df, x='k', y='v')",
        [{"type": "box_and_whisker", "elements": [box("a", 1, 2, 3, 4, 5), box("b", 2, 3, 4, 5, 6)]}],
    ),
    Piece("seaborn heat map", SNS + "sns.heatmap([[1, 2], [3, 4]])", [{"type": "unknown", "elements": []}]),
    Piece(
        "seaborn facets",
        SNS + FRAME + "sns.relplot(df, x='v', y='v', col='k')",
        [
            {
                "type": "composite_chart",
                "elements": [
                    {"type": "scatter", "elements": [series("", [1, 3, 5], [1, 3, 5])]},
                    {"type": "scatter", "elements": [series("", [2, 4, 6], [2, 4, 6])]},
                ],
            }
        ],
    ),
]

PLOTLY = [
    Piece(
        "plotly line",
        "import plotly.graph_objects as go\ngo.Figure(go.Scatter(x=[1, 2], y=[3, 4], name='s', mode='lines')).show()",
        [line(series("s", [1, 2], [3, 4]))],
    ),
    Piece(
        "plotly express bars",
        "import plotly.express as px\nfig = px.bar(x=['a', 'b'], y=[1, 2], title='T')",
        [bar(bars("", a=1, b=2), title="T")],
    ),
    Piece(
        "plotly pie",
        "import plotly.graph_objects as go\ngo.Figure(go.Pie(labels=['a', 'b'], values=[1, 3])).show()",
        [{"type": "pie", "elements": [{"label": "a", "angle": 90}, {"label": "b", "angle": 270}]}],
    ),
    Piece(
        "plotly surface",
        "import plotly.graph_objects as go\ngo.Figure(go.Surface(z=[[1, 2], [3, 4]])).show()",
        [{"type": "unknown", "elements": []}],
    ),
]
