"""The frame of the command line: help, version, exit codes and one-line errors."""

import importlib
import subprocess
import sys
import types
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduler.cli import main as frame
from scheduler.cli.output import BadInputError, CommandError, Commands


def pretend(monkeypatch: pytest.MonkeyPatch, func: Callable[[Namespace], int]) -> None:
    """Put `func` in the place of `bayplan simulate`."""

    def register(commands: Commands) -> None:
        commands.add_parser("simulate", help="h", description="d").set_defaults(func=func)

    module = types.SimpleNamespace(register=register)

    def import_module(name: str) -> object:
        assert name == "scheduler.cli.simulate"
        return module

    monkeypatch.setattr(importlib, "import_module", import_module)


def raising(err: BaseException) -> Callable[[Namespace], int]:
    def func(_: Namespace) -> int:
        raise err

    return func


def test_help_lists_every_command_in_one_line_each_and_imports_none_of_them() -> None:
    code = (
        "import sys; from scheduler.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "slow = [m for m in sys.modules if m.split('.')[0] in ('ortools', 'kubernetes', 'numpy', 'msgspec', 'grpc')]\n"
        "assert not slow, slow\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name, command in frame.COMMANDS.items():
        assert f"\n    {name} " in shown
        assert "\n" not in command.help


def test_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("bayplan ")


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.main([]) == 0
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["nonsense"], ["--nonsense"], ["explain"], ["simulate", "a", "b"]])
def test_bad_arguments_are_one_line_and_exit_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        frame.main(argv)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("err", "code", "said"),
    [
        (BadInputError("the file\nis bad"), 2, "bayplan: the file is bad\n"),
        (CommandError("no answer"), 1, "bayplan: no answer\n"),
        (KeyboardInterrupt(), 130, "bayplan: stopped by Ctrl-C\n"),
        (
            ValueError("a\nb"),
            1,
            "bayplan: unexpected ValueError: a b (--traceback before the command shows where)\n",
        ),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    err: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretend(monkeypatch, raising(err))
    monkeypatch.setattr(sys, "argv", ["bayplan"])
    assert frame.main(["simulate"]) == code
    assert capsys.readouterr().err == said


def test_traceback_lets_an_unexpected_error_through(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, raising(ValueError("x")))
    with pytest.raises(ValueError, match="x"):
        frame.main(["--traceback", "simulate"])


def test_the_exit_code_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, lambda _: 1)
    assert frame.main(["simulate"]) == 1


def test_every_command_registers_itself() -> None:
    for name in frame.COMMANDS:
        parser = frame.build_parser("bayplan", name)
        assert name in parser.format_help()


@pytest.mark.parametrize(("called", "name"), [("/x/kubectl-bayplan", "kubectl bayplan"), ("/x/bayplan", "bayplan")])
def test_it_names_itself_as_it_was_called(called: str, name: str) -> None:
    assert frame.program_name(called) == name


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import sys, types, importlib\n"
        "from scheduler.cli import main as frame\n"
        "def register(c):\n"
        "    c.add_parser('simulate', help='h', description='d')"
        ".set_defaults(func=lambda _: print('x' * 10_000_000) or 0)\n"
        "importlib.import_module = lambda n: types.SimpleNamespace(register=register)\n"
        "sys.exit(frame.main(['simulate']))\n"
    )
    told = tmp_path / "stderr"
    with told.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr)
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(30) == 1
    assert told.read_text() == ""
