"""The report of an evaluation, and of a domain's own kinds of run."""

from __future__ import annotations

from selfedit.domains.evaluable import Evaluable, OwnRun
from selfedit.domains.rows import Evaluation
from selfedit.domains.stored import domain_of
from selfedit.evaluation.outcomes import stored_outcomes
from selfedit.report.evaluation_blocks import evaluation_sections
from selfedit.report.runs import Report, facts, failure, run_values, settings_section, trials_section
from selfedit.show.page import Page, Section
from selfedit.store import RunRecord, Store

MOST_DRAWN = 40  # tasks; a page with pictures of 400 would be too large to open


def eval_report(store: Store, run: RunRecord) -> Report:
    domain = domain_of(run)
    if run.result is None:
        sections = [trials_section(store, run)]
    else:
        found = Evaluation.of(run.result)
        chosen = _choices(store, run, found, domain)
        sections = [*evaluation_sections(found, domain), *chosen, *_drawn(store, run, domain)]
    return _report(store, run, domain, f"selfedit eval {domain.name}", domain.compared, sections)


def own_report(store: Store, run: RunRecord, own: OwnRun) -> Report:
    """The report of a kind of run that only its domain has."""
    domain = domain_of(run)
    if run.result is None:
        sections = [trials_section(store, run)]
    else:
        sections = [*own.sections(run.result), *_drawn(store, run, domain)]
    return _report(store, run, domain, own.command, own.title, sections)


def _choices(store: Store, run: RunRecord, found: Evaluation, domain: Evaluable) -> list[Section]:
    """Of all tasks' edits; earlier versions of selfedit may have stored none."""
    if not domain.chooses:
        return []
    return domain.choices(stored_outcomes(store, run, int(run.inputs["contexts"])), found)


def _drawn(store: Store, run: RunRecord, domain: Evaluable) -> list[Section]:
    """Tasks in pictures; earlier versions of selfedit may have stored none."""
    if not domain.draws:
        return []
    total = int(run.inputs["contexts"])
    outcomes = stored_outcomes(store, run, min(total, MOST_DRAWN))
    return domain.drawn(outcomes, run.settings["conditions"], total)


def _report(
    store: Store, run: RunRecord, domain: Evaluable, command: str, title: str, sections: list[Section]
) -> Report:
    page = Page(
        command,
        title,
        facts(run, (f"{domain.noun.capitalize()}s", str(run.inputs.get("contexts", "—")))),
        failure(run),
        "warn" if run.status != "failed" else "bad",
        (*sections, settings_section(run)),
    )
    return Report(page, run_values(store, run) | {"result": run.result})
