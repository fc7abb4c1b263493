"""`python -m benchmarks [NAME...]`: run benchmarks, print the machine's facts and a table, keep JSON."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from benchmarks import (
    churn,
    determinism,
    end_to_end,
    exporter,
    extender_latency,
    gang_cases,
    gang_plan,
    gpunode_intake,
    in_node,
    memory,
    mig_arrivals,
    openb,
    quota_laws,
    refuse,
    table,
    workloads,
    year,
)
from scheduler.kube.login import LoginError
from scheduler.localcluster import LocalClusterError

DESCRIPTION = "Measure Bayplan against the default scheduler, side by side on this machine. Names: see --list."

FOLDER = Path("build/benchmarks")


class Benchmark(NamedTuple):
    """One that can be named on the command line."""

    help: str
    run: Callable[[argparse.Namespace], Sequence[table.Row]]


def _end_to_end(arguments: argparse.Namespace) -> Sequence[table.Row]:
    rival = None
    if arguments.dialect is not None:
        rival = workloads.read_dialect(cast("Path", arguments.dialect))
    if arguments.scheduler_name is not None:
        rival = msgspec.structs.replace(
            rival or workloads.own_dialect("default"), scheduler_name=arguments.scheduler_name
        )
    return end_to_end.run(
        end_to_end.Options(
            quick=arguments.quick,
            kubeconfig=arguments.kubeconfig,
            rival=rival,
            cases=arguments.case,
            repetitions=arguments.repetitions,
            state_dir=arguments.state_dir,
            service_arguments=[f"--config={arguments.config.absolute()}"] if arguments.config else [],
        )
    )


def _extender_latency(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return extender_latency.run(quick=arguments.quick)


def _exporter(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return exporter.run(quick=arguments.quick)


def _determinism(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return determinism.run(quick=arguments.quick)


def _churn(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return churn.run(quick=arguments.quick)


def _gang_cases(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return gang_cases.run(quick=arguments.quick)


def _gang_plan(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return gang_plan.run(quick=arguments.quick)


def _gpunode_intake(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return gpunode_intake.run(quick=arguments.quick)


def _in_node(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return in_node.run(quick=arguments.quick)


def _memory(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return memory.run(quick=arguments.quick, state_dir=arguments.state_dir)


def _mig_arrivals(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return mig_arrivals.run(quick=arguments.quick)


def _openb(arguments: argparse.Namespace) -> Sequence[table.Row]:
    if arguments.openb_data is None:
        if openb.NAME in arguments.names:
            raise ValueError("openb needs --openb-data: the folder with the lists of the openb trace")
        print("openb is left out: it needs --openb-data", file=sys.stderr)
        return []
    return openb.run(arguments.openb_data, tool=arguments.openb_tool, quick=arguments.quick)


def _quota_laws(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return quota_laws.run(quick=arguments.quick, cases=arguments.cases, first=arguments.first_case)


def _refuse(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return refuse.run(quick=arguments.quick)


def _year(arguments: argparse.Namespace) -> Sequence[table.Row]:
    return year.run(quick=arguments.quick, count=arguments.jobs, draws=arguments.draws)


BENCHMARKS: Mapping[str, Benchmark] = {
    churn.NAME: Benchmark("how far gangs spread out as others come and go, beside simpler ways", _churn),
    determinism.NAME: Benchmark("equal input, equal plans: random clusters, heard of in other orders", _determinism),
    end_to_end.NAME: Benchmark(
        "gangs and single pods, from create to bound, beside the default scheduler", _end_to_end
    ),
    exporter.NAME: Benchmark("a node's exporter: memory, and CPU at rest", _exporter),
    extender_latency.NAME: Benchmark(
        "calls of the extender over HTTP, with the planner at rest and busy", _extender_latency
    ),
    gang_cases.NAME: Benchmark("big gangs, 200 cases each: time, proof and domains used", _gang_cases),
    gang_plan.NAME: Benchmark("plans of big gangs, refusals and many single pods, without a cluster", _gang_plan),
    gpunode_intake.NAME: Benchmark(
        "the reports of 5,000 exporters at the start of the service, and a change of each", _gpunode_intake
    ),
    in_node.NAME: Benchmark("the GPUs that a pod gets of a node: bandwidth, beside the best and the worst", _in_node),
    memory.NAME: Benchmark("the service in a full cluster: memory, restart to first decision", _memory),
    mig_arrivals.NAME: Benchmark(
        "MIG slices that come and go: how many find a place, and what repartition does for the rest", _mig_arrivals
    ),
    openb.NAME: Benchmark("GPUs left unallocated on the openb trace, beside published policies", _openb),
    quota_laws.NAME: Benchmark("what trees of queues promise, looked for in random cases", _quota_laws),
    refuse.NAME: Benchmark("why a gang waits, in full clusters; many gangs that wait at once", _refuse),
    year.NAME: Benchmark("a year of jobs: waits beside FIFO, skip-ahead and EASY backfill", _year),
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=DESCRIPTION)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the names and leave")
    parser.add_argument(
        "--json",
        type=Path,
        default=FOLDER / "figures.json",
        metavar="FILE",
        help="where the figures go as JSON (default: %(default)s)",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=FOLDER / "cluster",
        metavar="DIR",
        help="folder of the local clusters that benchmarks start (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes once: does it work")
    other = parser.add_argument_group("end_to_end")
    other.add_argument("--case", action="append", default=[], metavar="CASE", help="only this case of cases.yaml")
    other.add_argument(
        "--repetitions", type=int, default=0, help="runs of each scheduler (default: as cases.yaml says)"
    )
    other.add_argument("--config", type=Path, metavar="FILE", help="the settings file of Bayplan's service")
    other.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="measure on this cluster, nodes and all, instead of one of our own",
    )
    other.add_argument(
        "--scheduler-name", metavar="NAME", help="measure this scheduler instead of Bayplan (needs --kubeconfig)"
    )
    other.add_argument(
        "--dialect", type=Path, metavar="FILE", help="how that scheduler is told of gangs (dialect-*.yaml)"
    )
    laws = parser.add_argument_group("quota_laws")
    laws.add_argument(
        "--cases", type=int, default=quota_laws.CASES, metavar="N", help="how many (default: %(default)s)"
    )
    laws.add_argument(
        "--first-case",
        type=int,
        default=0,
        metavar="N",
        help="the number of the first (default: 0); from 1000000 on there is more in them",
    )
    traces = parser.add_argument_group("openb")
    traces.add_argument("--openb-data", type=Path, metavar="DIR", help="the folder with openb_pod_list_default.csv")
    traces.add_argument(
        "--openb-tool", type=Path, metavar="FILE", help="a program that makes the lists and checks the placements"
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="year: so many jobs (default: 20000)")
    parser.add_argument("--draws", type=int, default=1, metavar="N", help="year: so many years (default: %(default)s)")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f'there is no benchmark "{unknown[0]}"; known: {", ".join(BENCHMARKS)}')
    if (arguments.scheduler_name or arguments.dialect) and not arguments.kubeconfig:
        parser.error("another scheduler is measured where it runs: give the cluster's --kubeconfig too")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was named. 0: all budgets hold (with --quick: all ran); 1: one does not; 2: bad input."""
    arguments = parse(argv)
    if arguments.list:
        print("\n".join(f"{name}: {b.help}" for name, b in BENCHMARKS.items()))
        return 0
    facts = table.machine()
    rows: list[table.Row] = []
    try:
        for name in arguments.names or BENCHMARKS:
            rows += BENCHMARKS[name].run(arguments)
    except (ValueError, LoginError) as err:
        print(f"python -m benchmarks: {err}", file=sys.stderr)
        return 2
    except LocalClusterError as err:
        print(f"python -m benchmarks: {err}", file=sys.stderr)
        return 1
    print(table.text(facts, rows))
    kept = cast("Path", arguments.json)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(table.document(facts, rows))
    return int(any(row.verdict == "over" or row.value is None for row in rows))


if __name__ == "__main__":
    sys.exit(main())
