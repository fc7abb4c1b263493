import io
from pathlib import Path

import pytest
from rich.console import Console

from scheduler.demo.report import Report, next_steps, work_reports, write
from scheduler.demo.sight import Sight
from scheduler.demo.story import WorkName
from scheduler.demo.track import Change, Tracker
from scheduler.demo.view import LiveView, PlainView, closing_table, nodes_text, plain_line
from tests.demo.cases import FABRIC, story, work

NAME = WorkName("team/train")
RUNS = Sight(state="running", placed=2, nodes=("a-0", "a-1"))
WAITS = Sight(state="waiting", reason="QuotaExhausted", message="the quota [of team] is used up")


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((), ""),
        (("a-0",), "a-0"),
        (("a-0", "a-1", "a-2", "b-7"), "a-0..2 b-7"),
        (("a-0", "a-2", "a-4", "a-6", "a-8"), "a-0 a-2 a-4 a-6 ..."),
        (("gpu-box",), "gpu-box"),
    ],
)
def test_neighbours_are_drawn_together(nodes: tuple[str, ...], text: str) -> None:
    assert nodes_text(nodes) == text


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (RUNS, "  12.3 s  team/train            running       a-0..1"),
        (WAITS, "  12.3 s  team/train            waiting       QuotaExhausted: the quota [of team] is used up"),
        (Sight(state="waiting"), "  12.3 s  team/train            waiting"),
        (Sight(state="starting", placed=1, nodes=("a-0",)), "  12.3 s  team/train            starting 1/2  a-0"),
    ],
)
def test_a_line_for_each_change(seen: Sight, line: str) -> None:
    change = Change(name=NAME, at_s=12.34, sight=seen)
    assert plain_line(change, work()) == line
    out = io.StringIO()
    told = story(work())
    with PlainView(told, Console(file=out, width=20)) as view:
        view.show(Tracker(told), [change], 12.34)
    assert out.getvalue() == f"{line}\n"


def test_the_live_table_shows_state_and_reason_and_goes_away() -> None:
    out = io.StringIO()
    told = story(work())
    tracker = Tracker(told)
    with LiveView(told, Console(file=out, width=120, force_terminal=True, color_system=None)) as view:
        view.show(tracker, tracker.saw({NAME: WAITS}, 3.0), 3.0)
        assert "QuotaExhausted: the quota [of team] is used up" in out.getvalue()
        view.show(tracker, tracker.saw({NAME: RUNS}, 4.0), 4.0)
        assert "a-0..1" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[2K")


def test_the_closing_table_and_the_record() -> None:
    told = story(work())
    tracker = Tracker(told)
    tracker.submitted(NAME, 1.0)
    tracker.saw({NAME: WAITS}, 3.0)
    tracker.saw({NAME: RUNS}, 4.04)
    reports = work_reports(told, tracker.traces, FABRIC)
    out = io.StringIO()
    closing_table(reports, Console(file=out, width=200))
    lines = [" ".join(line.split()) for line in out.getvalue().splitlines()]
    assert lines[1] == "team/train gang 3.0 s 16 running a-0..1 1 rack, 2 nodes, NVSwitch inside each"
    assert lines[-1] == "team/train QuotaExhausted: the quota [of team] is used up"


def test_the_record_is_json_with_the_words_of_the_interface(tmp_path: Path) -> None:
    told = story(work())
    tracker = Tracker(told)
    made = Report(
        ok=True,
        broken=[],
        nodes=3,
        start_s=1.0,
        story_s=2.0,
        kept=False,
        kubeconfig="k",
        workloads=work_reports(told, tracker.traces, FABRIC),
    )
    write(made, tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert '"storyS": 2.0' in text
    assert '"waitS": null' in text
    assert '"gpus": 16' in text


def test_what_to_try_next_names_the_kubeconfig_and_the_end(tmp_path: Path) -> None:
    text = next_steps(tmp_path, "bin/bayplan")
    assert f"export KUBECONFIG={tmp_path}/kubeconfig" in text
    assert f"bin/bayplan cluster stop --state-dir {tmp_path}" in text
