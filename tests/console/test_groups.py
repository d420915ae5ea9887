"""Options as groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from selfedit.console.groups import grouped


@dataclass
class Loading:
    model: Annotated[str, typer.Option("--model", "-m", help="Which one.")] = "small"
    rank: Annotated[int | None, typer.Option("--rank", help="LoRA rank.")] = None


@dataclass
class Going:
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False


def run(*arguments: str) -> str:
    app = typer.Typer()

    @app.command()
    @grouped
    def ask(
        question: Annotated[str, typer.Argument(help="What to ask.")],
        loading: Loading,
        top: Annotated[int, typer.Option(help="How many.")] = 3,
        *,
        going: Going,
    ) -> None:
        """Ask."""
        print(question, loading, top, going)

    result = CliRunner().invoke(app, list(arguments))
    return result.output if result.exit_code == 0 else f"failed: {result.output}"


def test_fields_are_options_and_the_function_gets_the_dataclass():
    said = run("what?", "-m", "large", "--yes", "--top", "5")
    assert said == "what? Loading(model='large', rank=None) 5 Going(yes=True)\n"
    assert run("what?", "--rank", "8").startswith("what? Loading(model='small', rank=8) 3")


def test_help_and_types_are_the_fields():
    said = run("--help")
    assert "Which one." in said
    assert "[default: small]" in said
    assert run("what?", "--rank", "eight").startswith("failed")


def test_a_name_twice_is_an_error():
    with pytest.raises(TypeError, match="yes"):

        @grouped
        def command(going: Going, yes: bool = False) -> None: ...
