import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from scheduler.kube.lease import Leadership, LeaseTimes
from tests.kube.scripted import Asked, ScriptedServer, answer, client_of

TIMES = LeaseTimes(duration_s=3.0, renew_deadline_s=1.0, renew_period_s=0.9)


@pytest.mark.long
async def test_a_renewal_without_answer_ends_leading_when_writing_ends_and_not_later(tmp_path: Path) -> None:
    async def write(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.method == "POST":
            writer.write(answer(asked.body, "201 Created"))
        elif len(server.asked) == 1:
            writer.write(answer(b"{}", "404 Not Found"))
        # Whatever comes later is never answered.

    server = ScriptedServer(write)
    async with server.running(), client_of(server, tmp_path) as api:
        leadership = Leadership(
            api, namespace="n", name="bayplan", identity="one", times=TIMES, monotonic_s=time.monotonic
        )
        running = asyncio.create_task(leadership.run())
        async with asyncio.timeout(30):
            await leadership.leads.wait()
            began_s = time.monotonic()
            await leadership.follows.wait()
        assert not leadership.writable
        assert time.monotonic() - began_s < 1.6
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
