"""What a plan of a drawn snapshot decides, every plan checked by the rules that know no planner."""

from scheduler.model.plan import Plan
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
