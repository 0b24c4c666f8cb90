from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from toolbox.process.code.charts import MARKER, Markers

CHART = MARKER + json.dumps({"type": "chart", "value": {"type": "line", "elements": []}})
LINES = st.lists(
    st.sampled_from(["", "a", "dtn_", MARKER[:-1], "x" + CHART, CHART, MARKER + "junk", "é\r"]), max_size=6
)


def shown(parts: list[str]) -> tuple[str, int]:
    markers = Markers()
    text = "".join([*map(markers.feed, parts), markers.finish()])
    return text, len(markers.charts)


@given(LINES, st.booleans(), st.lists(st.integers(0, 400), max_size=5))
def test_any_split_of_the_output_gives_the_same(lines: list[str], ended: bool, cuts: list[int]) -> None:
    text = "\n".join(lines) + ("\n" if ended else "")
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[low:high] for low, high in itertools.pairwise(places)]
    kept = [line for line in text.split("\n") if not line.startswith(MARKER)]
    found, charts = shown(parts)
    assert found.split("\n") == kept or found.rstrip("\n") == "\n".join(kept).rstrip("\n")
    assert charts == sum(line == CHART for line in lines)
    assert (found, charts) == shown([text])
