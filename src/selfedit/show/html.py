"""Self-contained HTML of a `learn` or any other run: no script, no request, readable for years."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from selfedit.show import wording
from selfedit.show.files import write_whole
from selfedit.show.page import CONTROL_CHARACTERS, Page
from selfedit.show.plots import accuracy_bars, loss_curves
from selfedit.types import LearnResult, PassageResult

OPEN_PASSAGES = 6  # more passages than this start folded


def write_report(result: LearnResult, path: Path) -> Path:
    """Writes the report of `result` to `path` (whole or not at all) and returns `path`.

    Missing folders are made. Raises StoreError if the file cannot be written.
    """
    return write_whole(path, render_report(result))


def render_page(page: Page) -> str:
    """A page as HTML. The same page gives the same text."""
    html = _environment().get_template("page.html").render(page=page, markup=_markup)
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", html)


def render_report(result: LearnResult) -> str:
    """The report as an HTML page. The same result gives the same text."""
    html = (
        _environment()
        .get_template("report.html")
        .render(
            result=result,
            groups=wording.question_groups(result),
            settings=wording.flat(result.settings),
            accuracy_plot=_markup(
                accuracy_bars(result.accuracy_before, result.accuracy_after, result.num_questions)
            ),
            final_plot=_markup(loss_curves({"final adapter": result.final_losses})),
            passage_plots=[_markup(_candidate_losses(passage)) for passage in result.passages],
            open_passages=len(result.passages) <= OPEN_PASSAGES,
        )
    )
    return CONTROL_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", html)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("selfedit.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "duration": wording.duration,
        "change": wording.change,
    }
    environment.globals |= {
        "words": wording,
        "known": wording.known,
    }
    return environment


def _markup(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - written by plots.py, which escapes its labels


def _candidate_losses(passage: PassageResult) -> str:
    return loss_curves(
        {
            f"{place + 1} ({wording.candidate_state(passage.group, place)})": losses
            for place, losses in enumerate(passage.losses)
        }
    )
