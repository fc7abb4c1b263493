"""Rules that installed packages offer: found, chosen, loaded; and what cannot be loaded is said and stops nothing."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scheduler.app.own_rules import UnknownRuleError, load_rules
from scheduler.app.reporter import Reporter
from scheduler.app.teller import Teller
from scheduler.cli.main import main
from scheduler.kube.api import Response
from scheduler.kube.effects import Effects, LeaseRef
from scheduler.kube.http import Method
from scheduler.model.plan import Plan, RuleTrouble
from scheduler.scoring.own_rules import NO_RULES
from scheduler.telemetry import Telemetry
from tests.planning.build import snapshot

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "own-rules"

Offer = Callable[..., None]

MODULE = """
import numpy as np
def all_nodes(question): return np.ones(len(question.names), dtype=np.bool_)
def zero(question): return np.zeros(len(question.names))
def last(question): return np.arange(len(question.names))
def none(question): return np.zeros(len(question.names), dtype=np.bool_)
number = 7
"""


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Installs a package of the name given, whose entry points are `filters` and `scores`: names and objects."""
    monkeypatch.syspath_prepend(tmp_path)  # pyright: ignore[reportUnknownMemberType]  untyped in pytest
    (tmp_path / "rules_to_try.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "rules_that_leave.py").write_text("raise SystemExit('no')", encoding="utf-8")

    def install(package: str = "one", **groups: dict[str, str]) -> None:
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        lines = [
            f"[bayplan.{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
            for group, points in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")

    return install


def test_nothing_installed_is_no_rules() -> None:
    assert load_rules(None, None) == NO_RULES


def test_all_that_is_installed_takes_part_in_the_order_of_names(offer: Offer) -> None:
    offer("one", filters={"b": "rules_to_try:all_nodes"}, scores={"s": "rules_to_try:zero"})
    offer("two", filters={"a": "rules_to_try:all_nodes"})
    rules = load_rules(None, None)
    assert ([r.name for r in rules.filters], [r.name for r in rules.scores]) == (["a", "b"], ["s"])
    assert rules.troubles == ()


def test_the_settings_choose_by_name(offer: Offer) -> None:
    offer("one", filters={"a": "rules_to_try:all_nodes", "b": "nowhere:x"}, scores={"s": "rules_to_try:zero"})
    rules = load_rules(["a"], [])
    assert ([r.name for r in rules.filters], rules.scores, rules.troubles) == (["a"], (), ())


def test_a_name_that_is_not_installed_is_refused(offer: Offer) -> None:
    offer("one", filters={"a": "rules_to_try:all_nodes"}, scores={"s": "rules_to_try:zero"})
    with pytest.raises(UnknownRuleError, match="filters: 's'; installed: a"):
        load_rules(["s"], None)
    with pytest.raises(UnknownRuleError, match="scores: 'x'; installed: s"):
        load_rules(None, ["x"])


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("nowhere:x", "nowhere:x cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
        ("rules_to_try:absent", "rules_to_try:absent cannot be loaded: AttributeError: "),
        ("rules_that_leave:x", "rules_that_leave:x cannot be loaded: SystemExit: no"),
        ("rules_to_try:number", "rules_to_try:number is no function of a Question"),
    ],
)
def test_what_cannot_be_loaded_is_left_out_by_name(target: str, why: str, offer: Offer) -> None:
    offer("one", filters={"bad": target, "good": "rules_to_try:all_nodes"})
    rules = load_rules(None, None)
    assert [r.name for r in rules.filters] == ["good"]
    assert [(t.kind, t.rule) for t in rules.troubles] == [("filter", "bad")]
    assert rules.troubles[0].why.startswith(why)


def test_two_packages_that_offer_one_name_offer_none(offer: Offer) -> None:
    offer("one", filters={"a": "rules_to_try:all_nodes"})
    offer("two", filters={"a": "rules_to_try:none"})
    rules = load_rules(None, None)
    assert rules.filters == ()
    assert rules.troubles[0].why == "several packages offer it: rules_to_try:all_nodes, rules_to_try:none"


class Events:
    """Answers every write with success and remembers the Events, by path."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        self.seen.append((path, json.loads(body or b"")))
        return Response(status=200, body=b"{}")


async def test_a_failing_rule_is_counted_for_every_plan_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, events = Telemetry(), Events()
    effects = Effects(events, may_write=lambda: True, concurrency=1, instance="i")
    teller = Teller(effects, settle_s=0, leading=lambda: True)
    lease = LeaseRef(namespace="bayplan-system", name="bayplan")
    reporter = Reporter(effects, teller, telemetry, leading=lambda: True, lease=lease)
    trouble = RuleTrouble(kind="filter", rule="keep-off", why="it raised")
    for generation in range(3):
        reporter.planned(snapshot([]), Plan(generation=generation, troubles=(trouble,)), 0.0)
        async with asyncio.timeout(5):
            while not events.seen:  # noqa: ASYNC110  the write is under way as the loop turns
                await asyncio.sleep(0)
    assert b'bayplan_own_rule_failures_total{kind="filter",rule="keep-off"} 3.0' in telemetry.exposition()
    assert caplog.messages == ["an own rule is left out"]
    ((path, event),) = events.seen
    assert path == "/apis/events.k8s.io/v1/namespaces/bayplan-system/events"
    assert (event["type"], event["reason"]) == ("Warning", "OwnRuleLeftOut")
    assert event["note"] == "the filter keep-off is left out: it raised"
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("Lease", "bayplan")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the example package."""
    there = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    copy = tmp_path_factory.mktemp("source") / "own-rules"
    subprocess.run(["cp", "-r", str(EXAMPLE), str(copy)], check=True)  # noqa: S607  building leaves files behind
    subprocess.run([*pip, "--target", str(there), str(copy)], check=True)
    return there


SCENARIO = """
nodes:
  - {name: a, gpus: 8, model: H100, labels: {example.com/service: planned}}
  - {name: b, gpus: 8, model: H100, labels: {example.com/inlet-celsius: "27.5"}}
  - {name: c, gpus: 8, model: H100}
  - {name: d, gpus: 8, model: H100, labels: {example.com/inlet-celsius: "31"}}
queues: [{name: q, nominal: 64}]
workloads:
  - {name: lone, queue: q, submitted: -9, pods: [{gpus: 8}]}
  - {name: gang, queue: q, gang: true, pods: [{count: 2, gpus: 8}]}
  - {name: more, queue: q, pods: [{gpus: 8}]}
"""


def test_the_example_installs_and_has_its_effect(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(example)  # pyright: ignore[reportUnknownMemberType]  untyped in pytest
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "off.yaml").write_text("filters: []\nscores: []\n", encoding="utf-8")

    def places(*more: str) -> dict[str, str | None]:
        assert main(["simulate", str(tmp_path / "s.yaml"), "--json", *more]) == 0
        return {name: pod["node"] for name, pod in json.loads(capsys.readouterr().out)["pods"].items()}

    assert places("--config", str(tmp_path / "off.yaml"))["lone-0"] == "a"
    chosen = places()
    assert chosen["lone-0"] == "c"
    assert {chosen["gang-0"], chosen["gang-1"]} == {"b", "d"}
    assert chosen["more-0"] is None


def test_a_failing_rule_is_said_on_the_command_line(
    offer: Offer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    offer("one", filters={"gone": "nowhere:x"}, scores={"last": "rules_to_try:last", "odd": "rules_to_try:none"})
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    assert main(["simulate", str(tmp_path / "s.yaml"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["pods"]["lone-0"]["node"] == "d"
    missing = "ModuleNotFoundError: No module named 'nowhere'"
    assert err.splitlines() == [
        f"bayplan: the filter gone is left out: nowhere:x cannot be loaded: {missing}",
        "bayplan: the score odd is left out: it answered with an array of bool; allowed: an array of int64 or float64",
    ]


def test_a_chosen_rule_that_is_not_there_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "c.yaml").write_text("filters: [keep-of]\n", encoding="utf-8")
    for command in (["simulate", str(tmp_path / "s.yaml")], ["serve"]):
        assert main([*command, "--config", str(tmp_path / "c.yaml")]) == 2
        assert capsys.readouterr().err == "bayplan: filters: 'keep-of'; installed: none\n"
