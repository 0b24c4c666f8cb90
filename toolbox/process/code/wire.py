"""Request and answer of ``POST /process/code-run``; chart fields have the names of the SDKs' classes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from toolbox.wire import Wire

Number = int | float


class CodeRunRequest(Wire, kw_only=True):
    """Run one program; ``timeout`` is in seconds, without one or with 0 there is no limit."""

    code: str
    language: str = "python"
    argv: list[str] | None = None
    envs: dict[str, str] | None = None
    env: dict[str, str] | None = None  # the name that the public documentation uses
    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None


class ChartElement(Wire, kw_only=True, rename=None):
    """One series, bar, slice or box of a chart, or one chart of several in a figure."""

    additive: ClassVar[frozenset[str]] = frozenset(
        {"elements", "x_ticks", "x_tick_labels", "x_scale", "y_ticks", "y_tick_labels", "y_scale", "x_ticks_iso"}
        | {"y_ticks_iso", "autopct"}
    )

    label: str | None = None
    points: list[list[Number]] | None = None
    group: str | None = None
    value: str | None = None
    angle: Number | None = None
    radius: Number | None = None
    min: Number | None = None
    first_quartile: Number | None = None
    median: Number | None = None
    third_quartile: Number | None = None
    max: Number | None = None
    outliers: list[Number] | None = None
    autopct: str | None = None
    type: str | None = None
    title: str | None = None
    png: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    x_ticks: list[Number] | None = None
    y_ticks: list[Number] | None = None
    x_tick_labels: list[str] | None = None
    y_tick_labels: list[str] | None = None
    x_scale: str | None = None
    y_scale: str | None = None
    x_ticks_iso: list[str] | None = None
    y_ticks_iso: list[str] | None = None
    elements: list[ChartElement] | None = None


class Chart(Wire, kw_only=True, rename=None):
    """A figure: its picture, its labels and the data that was drawn."""

    additive: ClassVar[frozenset[str]] = frozenset({"x_ticks_iso", "y_ticks_iso", "plotly"})

    type: str = "unknown"
    title: str | None = None
    png: str | None = None
    # Without a default, so that an empty list is sent too.
    elements: list[ChartElement] = msgspec.field()
    x_label: str | None = None
    y_label: str | None = None
    x_ticks: list[Number] | None = None
    y_ticks: list[Number] | None = None
    x_tick_labels: list[str] | None = None
    y_tick_labels: list[str] | None = None
    x_scale: str | None = None
    y_scale: str | None = None
    x_ticks_iso: list[str] | None = None
    y_ticks_iso: list[str] | None = None
    plotly: dict[str, Any] | None = None


class Artifacts(Wire, kw_only=True):
    """Results of a program beside its output."""

    charts: list[Chart]


class CodeRunResponse(Wire, kw_only=True):
    """Report how a program ended, what it printed and, if it drew any, its charts."""

    exit_code: int
    result: str
    artifacts: Artifacts | None = None
