from __future__ import annotations

import json
import pathlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolbox.host.output_log import Channel, Retention
from toolbox.host.spool import Spool
from toolbox.process.exec.commands import Outcome
from toolbox.runs import output as render

CHANNELS = st.sampled_from([Channel.STDOUT, Channel.STDERR])
SLOW_FIXTURE = [HealthCheck.function_scoped_fixture]


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW_FIXTURE)
@given(writes=st.lists(st.tuples(CHANNELS, st.binary(max_size=20)), max_size=20))
async def test_json_says_what_was_written(tmp_path: pathlib.Path, writes: list[tuple[Channel, bytes]]) -> None:
    spool = Spool(tmp_path)
    record = spool.output_log()
    for channel, data in writes:
        record.append(data, channel)
    body = json.loads(b"".join([part async for part in Outcome(7, record, split=True).json()]))
    assert body == {
        "exitCode": 7,
        "result": b"".join(data for _, data in writes).decode("utf-8", "replace"),
        "stdout": b"".join(data for c, data in writes if c == Channel.STDOUT).decode("utf-8", "replace"),
        "stderr": b"".join(data for c, data in writes if c == Channel.STDERR).decode("utf-8", "replace"),
    }
    await record.close()
    await spool.close()


async def test_gap_of_the_record_is_named(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path)
    record = spool.output_log(Retention(head=3, tail=4))
    record.append("aé€123456789".encode())
    assert await render.whole(record) == "aé\n[... 8 bytes omitted ...]\n6789"
    await record.close()
    await spool.close()


async def test_limit_takes_both_ends(tmp_path: pathlib.Path) -> None:
    spool = Spool(tmp_path)
    record = spool.output_log()
    record.append(b"0123456789")
    assert await render.whole(record, limit=10) == "0123456789"
    assert await render.whole(record, limit=4) == "01\n[... 6 bytes omitted ...]\n89"
    await record.close()
    await spool.close()
