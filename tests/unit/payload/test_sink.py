from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from toolbox import wire
from toolbox.host.launch import file_of
from toolbox.payload import sink
from toolbox.runs import rich_output
from toolbox.runs.rich_output import RichOutput

LINE = {"type": "line", "title": "a", "elements": [{"label": "b", "points": [[1, 2.5]]}]}


@pytest.fixture
def read() -> Iterator[Callable[[], list[RichOutput]]]:
    fd = file_of(b"")
    sink.open_on(fd)
    yield lambda: [wire.decode(line, RichOutput) for line in os.pread(fd, 10**6, 0).splitlines()]
    os.close(fd)


def test_mime_types_of_the_payload_and_the_daemon_are_the_same() -> None:
    for name in ("CHART", "PNG", "PLOTLY"):
        assert getattr(sink, name) == getattr(rich_output, name)


def test_bundle_is_read_as_a_chart(read: Callable[[], list[RichOutput]]) -> None:
    assert sink.put({sink.CHART: LINE, sink.PNG: "AAAA"})
    assert sink.put({sink.CHART: LINE, sink.PLOTLY: {"data": []}})
    picture, plotly = read()
    assert picture.chart == {**LINE, "png": "AAAA", "plotly": None}
    assert plotly.chart == {**LINE, "png": None, "plotly": {"data": []}}


@pytest.mark.parametrize(
    "kept",
    [
        {sink.CHART: {**LINE, "elements": []}, sink.PNG: "AAAA"},
        {sink.CHART: {"type": "unknown", "title": "a", "elements": []}},
    ],
)
def test_bundle_that_exceeds_the_capacity_is_reduced(
    kept: dict[str, Any], read: Callable[[], list[RichOutput]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sink._state, "left", len(wire.encode({"mime": kept})) + 1)
    assert sink.put({sink.CHART: LINE, sink.PNG: "AAAA"})
    assert not sink.put({sink.CHART: LINE})
    assert read() == [RichOutput(mime=kept)]


def test_output_without_a_chart_has_none() -> None:
    assert RichOutput(mime={rich_output.PNG: "AAAA"}).chart is None
    assert RichOutput(mime={rich_output.CHART: "not an object"}).chart is None
