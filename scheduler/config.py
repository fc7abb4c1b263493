"""The service's settings: one typed tree, read once, unknown keys refused."""

import re
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
import msgspec.inspect
import yaml

from scheduler.planning.settings import Backfill, Order, PlanSettings

Seconds = Annotated[float, msgspec.Meta(gt=0)]
SecondsOrNever = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
LabelKey = Annotated[
    str,
    msgspec.Meta(
        max_length=317, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
    ),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Everything that can be set in the file of `bayplan serve --config`, in camelCase there. Times are in seconds."""

    scheduler_name: str = "bayplan"
    """Pods with this `spec.schedulerName` are ours."""

    user_label: LabelKey | None = None
    """The label of a pod that says whose it is, where queues limit what one user may use (`userLimit`); absent: the own
    one, `user`."""

    namespace: str = "bayplan-system"
    """Where the leader's Lease stands."""

    lease_name: str = "bayplan"
    lease_duration_s: Seconds = 10.0
    """A standby takes over this long after the leader's last renewal."""

    renew_deadline_s: Seconds = 7.0
    """A leader that could not renew for this long writes nothing more."""

    renew_period_s: Seconds = 2.0

    nominate: Literal["auto", "always", "never"] = "auto"
    """Whether planned pods get `status.nominatedNodeName` before they are ungated; `auto`: where it pays."""

    nominate_from_nodes: Count = 1000
    """With `auto`: nominate in clusters of at least this many nodes, where evaluating all of them costs more than a
    write."""

    arrival_timeout_s: Seconds = 20.0
    """How long the members of a gang may take, from the first to the last, to arrive at the barrier; keep it below the
    extender's `httpTimeout`."""

    refusal_memory_s: Seconds = 60.0
    """How long a node that refused a planned pod is avoided for that workload at most, unless the node changes before:
    2 s at first, as the refusal may rest on a passing moment, and twice as long after each further one in a row."""

    offer_timeout_s: Seconds = 30.0
    """How long quota stays charged for a pod that kube-scheduler has to place by its own rules."""

    write_concurrency: Count = 32
    """API writes under way at once."""

    planning_pause_s: SecondsOrNever = 0.02
    """Least time between the starts of two planning cycles; arrivals within it are planned together."""

    settle_s: SecondsOrNever = 1.0
    """A reason to wait must hold this long before it is written on the pod."""

    solver_budget_ms: Annotated[int, msgspec.Meta(ge=0)] = 200
    """Wall time that CP-SAT may take for one workload."""

    reclaim: bool = True
    """Whether running work is evicted where others have a right to its room; `false`: what is lent comes back when
    its borrower ends."""

    eviction_grace_s: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How long pods that are to be evicted for others have to save their work first; 0: no time. They are asked by the
    annotation `bayplan.dev/checkpoint-requested`, and leave once `bayplan.dev/checkpointed-at` of all is newer."""

    assume_links: bool = True
    """Whether nodes from which no exporter reports are taken to be connected as the machine that their labels name
    (`nvidia.com/gpu.product`, the number of GPUs, the machine's name); `false`: their links are not known."""

    on_failing_devices: Literal["report", "replan"] = "report"
    """What becomes of work that stands on a GPU that is not healthy, or on a node that is not ready: its pods are told
    (`report`), or it is evicted whole as well, and planned again elsewhere (`replan`)."""

    usage_half_life_s: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)] = 0
    """Who goes first between queues goes by what they used of late too, half of which is forgotten after this long; 0:
    only by what they use."""

    backfill: Backfill = "easy"
    """For whom room is kept from a known start on: the first blocked workload of each queue (`easy`), or every one."""

    backfill_bound_s: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Until so long after its creation the start of such a workload may be put off by work behind it; 0: never. Work of
    which nobody knows how long it runs has a bound of its own:"""

    backfill_unknown_bound_s: Annotated[int, msgspec.Meta(ge=0)] = 0

    backfill_shortest_first: bool = False
    """Behind such a workload, a queue's work goes by its known length instead of its place."""

    queue_order: Order = "age"
    """Within one priority, the work of a `Fair` queue goes by `age`, or by how long it has waited in relation to how
    long it runs (`relativeWait`)."""

    audit_period_s: SecondsOrNever = 300.0
    """How often the believed state is compared with a fresh list; 0: never."""

    mig_repartition: Literal["never", "idle"] = "never"
    """Whether nodes whose MIG slices are made beforehand are divided anew for what waits: `idle` has it done, through
    NVIDIA's MIG manager, on nodes of which no GPU is in use; it needs the rights of `manifests/mig`."""

    mig_config_map: str = ""
    """With `migRepartition: idle`: the ConfigMap that the MIG manager reads, as `namespace/name`."""

    mig_repartition_period_s: Seconds = 30.0
    """How often that is looked at."""

    mig_settle_s: SecondsOrNever = 120.0
    """How long the MIG manager may take to see a change of its ConfigMap: the kubelet brings the file up to date."""

    filters: tuple[str, ...] | None = None
    """The filters of your own that take part, by the names of their entry points; absent: all that are installed."""

    scores: tuple[str, ...] | None = None
    """The same for scores."""

    @property
    def planning(self) -> PlanSettings:
        """What of the settings is input of every plan."""
        return PlanSettings(
            solver_budget_ms=self.solver_budget_ms,
            backfill=self.backfill,
            backfill_bound_s=self.backfill_bound_s,
            backfill_unknown_bound_s=self.backfill_unknown_bound_s,
            by_length=self.backfill_shortest_first,
            order=self.queue_order,
            reclaim=self.reclaim,
            usage_half_life_s=self.usage_half_life_s,
        )


_KEYS = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(Settings)).fields
_AT_KEY = re.compile(r" - at `\$\.(\w+)`\Z")


def _why(document: object, why: str) -> str:
    """What is wrong, with the key's value and, where there are few, all that are allowed."""
    key = _AT_KEY.search(why)
    if key is None or not isinstance(document, dict):
        return why
    value = cast("dict[object, object]", document).get(key[1])
    (field,) = (each for each in _KEYS if each.encode_name == key[1])
    match field.type:
        case msgspec.inspect.LiteralType(values=values):
            allowed = " or ".join(str(each) for each in values)
        case msgspec.inspect.BoolType():
            allowed = "true or false"
        case _:
            return f"{key[1]} is {value!r}: {why[: key.start()]}"
    return f"{key[1]} is {value!r}; allowed: {allowed}"


class SettingsError(ValueError):
    """The settings file cannot be used; the text is one sentence that says why."""


def load_settings(path: Path | None) -> Settings:
    """The settings in the YAML file `path`, or the defaults where it is None.

    Raises:
        SettingsError: the file cannot be read, is no YAML mapping, or holds an unknown key or a value of the wrong
        kind.
    """
    if path is None:
        return Settings()
    document: object = None
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        settings = msgspec.convert(document, Settings)
    except OSError as err:
        raise SettingsError(f"cannot read the settings file {str(path)!r}: {err.strerror}") from err
    except yaml.YAMLError as err:
        raise SettingsError(f"the settings file {str(path)!r} is no YAML: {' '.join(str(err).split())}") from err
    except msgspec.ValidationError as err:
        raise SettingsError(f"the settings file {str(path)!r} is refused: {_why(document, str(err))}") from err
    if settings.mig_repartition != "never" and not all(settings.mig_config_map.partition("/")):
        raise SettingsError(
            f"the settings file {str(path)!r} is refused: migRepartition is {settings.mig_repartition!r} and "
            f"migConfigMap {settings.mig_config_map!r}; allowed: the MIG manager's ConfigMap, as namespace/name"
        )
    if not settings.renew_period_s < settings.renew_deadline_s < settings.lease_duration_s:
        raise SettingsError(
            f"the settings file {str(path)!r} is refused: renewPeriodS {settings.renew_period_s} must be less than "
            f"renewDeadlineS {settings.renew_deadline_s}, and that less than leaseDurationS {settings.lease_duration_s}"
        )
    return settings
