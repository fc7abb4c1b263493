"""`bayplan simulate --snapshot`: make the plan of a snapshot file again."""

from pathlib import Path

from scheduler.app.own_rules import installed, load_rules
from scheduler.cli.output import BadInputError, complain, print_json
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain, rule_lines
from scheduler.scoring.own_rules import OwnRules, RuleKind
from scheduler.simulate.refusal import Refused
from scheduler.simulate.snapshot import SnapshotFile, digest, document, read_snapshot
from scheduler.version import VERSION


def replay(path: Path, *, as_json: bool) -> int:
    """Make the plan of a snapshot file and show it."""
    file = open_snapshot(path)
    planned = plan(file.snapshot, now_s=file.now_s, settings=file.settings, rules=rules_of(path, file))
    sha256 = digest(planned)
    same = sha256 == file.plan_sha256 if file.plan_sha256 else None
    if as_json:
        print_json({"snapshot": str(path), "plan": document(planned), "planSha256": sha256, "sameAsWritten": same})
        return 0
    for line in rule_lines(planned):
        print(line)
    for decision in planned.decisions:
        print("\n".join(explain(decision)) + "\n")
    print(f"{len(file.snapshot.nodes)} nodes, {len(planned.decisions)} decisions; plan {sha256}")
    match same:
        case True:
            print("This is the plan that was made when the file was written.")
        case False:
            by = f" (Bayplan {file.written_by}; this is {VERSION})" if file.written_by else ""
            print(f"This is another plan than the one made when the file was written: {file.plan_sha256}{by}.")
        case None:
            pass
    return 0


def open_snapshot(path: Path) -> SnapshotFile:
    """The content of a snapshot file.

    Raises:
        BadInputError: it cannot be read, or is none.
    """
    try:
        file = read_snapshot(path.read_bytes())
    except OSError as err:
        raise BadInputError(f"cannot read {str(path)!r}: {err.strerror}") from err
    if isinstance(file, Refused):
        raise BadInputError(f"{path}: {file}")
    return file


def rules_of(path: Path, file: SnapshotFile) -> OwnRules:
    """The rules that took part in the file's plan, as far as they are installed here."""
    wanted: dict[RuleKind, tuple[str, ...]] = {"filter": file.filters, "score": file.scores}
    for kind, names in wanted.items():
        for name in sorted(set(names) - set(installed(kind))):
            complain("bayplan", f"{path} was written with the {kind} {name!r}, which is not installed here")
    there = {kind: set(names) & set(installed(kind)) for kind, names in wanted.items()}
    return load_rules(there["filter"], there["score"])
