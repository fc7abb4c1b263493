import io
import time

import pytest

from scheduler.localcluster.progress import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_in_a_file_a_passing_line_is_written_every_15_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    console = Console(stream)
    for second in range(40):
        clock[0] = 100.0 + second
        console.passing(f"at {second}")
    console.say("done")
    assert stream.getvalue() == "at 15\nat 30\ndone\n"


def test_on_a_terminal_the_last_passing_line_gives_way(clock: list[float]) -> None:
    stream = Terminal()
    console = Console(stream)
    for second in (1, 2):
        clock[0] = 100.0 + second
        console.passing(f"at {second}")
    console.say("done")
    assert stream.getvalue() == "\r\x1b[Kat 1\r\x1b[Kat 2\r\x1b[Kdone\n"
