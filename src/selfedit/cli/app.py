"""The `selfedit` command: its sub-commands, and what happens to errors."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from selfedit.cli import (
    adapters,
    ask,
    bench,
    chat,
    evaluate,
    forget,
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

app = typer.Typer(
    name="selfedit",
    help="A language model that learns your documents by writing its own training data (SEAL).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("learn")(learn.learn)
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
    """Entry point. A SelfEditError is printed without traceback (exit code 1); Ctrl-C exits 130."""
    lose_nothing(sys.stdout, sys.stderr)
    try:
        # typer turns Ctrl-C into exit code 130, and returns it outside of its standalone mode.
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except SelfEditError as error:
        err.print(f"Error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except Exception as error:
        if _show_usage_error(error):
            sys.exit(getattr(error, "exit_code", 2))
        raise
    if code == 130:
        err.print("Stopped. Finished work is kept: the same command goes on from there.", markup=False)
    if isinstance(code, int) and code:
        sys.exit(code)


def _show_usage_error(error: Exception) -> bool:
    """Click's own errors (a wrong option) know how to show themselves."""
    show = getattr(error, "show", None)
    if show is None or not hasattr(error, "exit_code"):
        return False
    show()
    return True
