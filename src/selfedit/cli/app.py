"""The `selfedit` command: its sub-commands, and what happens to errors."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from selfedit.cli import (
    adapters,
    ask,
    bench,
    chat,
    evaluate,
    forget,
    generate,
    grade,
    import_,
    learn,
    models,
    probe,
    report,
    serve,
    train,
)
from selfedit.console.common import err
from selfedit.console.literal import lose_nothing
from selfedit.domains.commands import own_commands
from selfedit.errors import SelfEditError
from selfedit.home import drawing_folder

app = typer.Typer(
    name="selfedit",
    help="A language model that learns your documents by writing its own training data (SEAL).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("learn")(learn.learn)
app.command("generate")(generate.generate)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("forget")(forget.forget)
app.command("probe")(probe.probe)
app.command("grade")(grade.grade)
app.command("serve")(serve.serve)
app.command("report")(report.report)
app.command("compare")(report.compare)
app.add_typer(adapters.app, name="adapters")
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="eval")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(import_.app, name="import")


_NO_MEMORY = (
    "can't allocate memory",
    "Cannot allocate memory",
    "can't start new thread",
    "failed to map segment from shared object",
    "returned NULL without setting an exception",  # which would have taken memory
)


def _at_bench(*args: Any, **options: Any) -> Any:
    from selfedit.experiments import at_bench

    return at_bench(*args, **options)


for _name, _commands in own_commands(_at_bench):
    app.add_typer(_commands, name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        from selfedit import __version__

        typer.echo(f"selfedit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point. A SelfEditError is printed without traceback (exit code 1); Ctrl-C exits 130.

    So is what the machine refuses (a full disk, a name that is too long, no memory left). Where nobody
    reads the output (`| head`), the command ends with 1 and says nothing.
    """
    _open_streams()
    # Else it writes into the home; what a user has set for figures of their own is none of ours.
    os.environ.setdefault("MPLCONFIGDIR", str(drawing_folder()))
    lose_nothing(sys.stdout, sys.stderr)
    try:
        # typer turns Ctrl-C into exit code 130, and returns it outside of its standalone mode.
        with _ctrl_c_is_heeded():
            code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except SelfEditError as error:
        _say(f"Error: {error}")
        sys.exit(1)
    except BrokenPipeError:
        _forget_output()
        sys.exit(1)
    except Exception as error:
        if _show_usage_error(error):
            sys.exit(getattr(error, "exit_code", 2))
        if not isinstance(error, OSError) and not _lacks_memory(error):
            raise
        _forget_output()
        _say(f"Error: {_refusal(error)}")
        sys.exit(1)
    if code == 130:
        err.print("Stopped. Finished work is kept: the same command goes on from there.", markup=False)
    if isinstance(code, int) and code:
        sys.exit(code)


@contextlib.contextmanager
def _ctrl_c_is_heeded() -> Iterator[None]:
    """Also where it comes while Python tidies up an object: it is raised there, and lost. It comes
    again a moment later. Where a library reports it before it passes it on, as SQLAlchemy does when it
    closes a connection, it is no error."""

    def heed(found: sys.UnraisableHookArgs) -> None:
        if not issubclass(found.exc_type, KeyboardInterrupt) or not hasattr(signal, "pthread_kill"):
            usual(found)
            return
        again = threading.Timer(0.05, lambda: signal.pthread_kill(own, signal.SIGINT))
        again.daemon = True
        again.start()

    own = threading.get_ident()
    usual, sys.unraisablehook = sys.unraisablehook, heed
    if logging.lastResort is not None:
        logging.lastResort.addFilter(_is_no_interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = usual
        if logging.lastResort is not None:
            logging.lastResort.removeFilter(_is_no_interrupt)


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], KeyboardInterrupt))


def _say(text: str) -> None:
    """An error in red. Where standard error is full or gone, the exit code says enough."""
    with contextlib.suppress(OSError):
        try:
            err.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        except MemoryError:
            sys.stderr.write(f"{text}\n")


def _open_streams() -> None:
    """A stream that was closed before the start (`>&-`) takes what is written, and shows it nowhere; a
    closed standard input is empty."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _forget_output() -> None:
    """What could not be written is not tried once more at the exit of Python."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _lacks_memory(error: Exception) -> bool:
    """Where there is none, libraries, threads and Python itself fail in their own words."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def _refusal(error: Exception) -> str:
    if not isinstance(error, OSError):
        return "there is not enough memory; close other programs, or choose smaller batches."
    name = str(error.filename or "")
    where = f"{name[:100]}{'…' * (len(name) > 100)}: " if name else ""
    said = f"{where}{error.strerror or error}."
    if isinstance(error, FileNotFoundError):  # a name was wrong: the same command would not find it
        return said
    return f"{said} Finished work is kept: the same command goes on from there."


def _show_usage_error(error: Exception) -> bool:
    """Click's own errors (a wrong option) know how to show themselves."""
    show = getattr(error, "show", None)
    if show is None or not hasattr(error, "exit_code"):
        return False
    show()
    return True
