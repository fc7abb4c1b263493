"""What a plan of a drawn snapshot decides, every plan checked by the rules that know no planner."""

from scheduler.model.plan import Admit, Plan, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import outcome


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=1000, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


def outcomes(snap: Snapshot, *names: str) -> list[str]:
    decided = planned(snap)
    return [outcome(decided, name) for name in names]


def given(made: Plan) -> list[str]:
    """`n/0 1` for each pod that is placed: its node and GPUs."""
    assignments = [a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments]
    return sorted(f"{a.node}/{' '.join(map(str, a.devices))}" for a in assignments)


def wait_of(made: Plan) -> Wait:
    (wait,) = made.decisions
    assert isinstance(wait, Wait)
    return wait
