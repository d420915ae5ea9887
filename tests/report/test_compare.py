"""Several stored evaluations in one table: places, pairs, and what is refused."""

from __future__ import annotations

import itertools
import json
import math

import pytest

from selfedit.domains.rows import Evaluation, Row
from selfedit.errors import InputError
from selfedit.grading.statistics import paired_difference
from selfedit.loops.rounds import RoundRecord, round_key
from selfedit.report.by_round import accuracy_by_round, save_accuracy_by_round
from selfedit.report.compare import compare, summary
from selfedit.report.compare_page import compare_page
from selfedit.report.run_report import run_report
from selfedit.show.html import render_page
from selfedit.show.markdown import page_markdown
from selfedit.store import Store

LOW, HIGH = (0.0,) * 8, (0.5, 1.0) * 4
UNSURE = (0.0, 1.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.5)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


def row(condition: str, by_context=LOW, learner: str = "m", regime: str = "single") -> Row:
    mean = sum(by_context) / len(by_context)
    trained = condition in ("own", "seal", "passage")
    return Row(
        condition, regime if trained else "none", mean, mean - 0.1, mean + 0.1, 16, len(by_context),
        100, 1.0, mean, 8, 0, 0, learner, learner, "", by_context,
    )  # fmt: skip


def stored(store: Store, *rows: Row, tasks="t", grader="offline", strategy="rewrite", **changes) -> str:
    values = {"model": "m", "grader": grader, "regime": "single", "seed": 0, "seeds": 1, **changes}
    settings = {"inner": {"knowledge": {"strategy": strategy}}, "resamples": 500}
    number = store.start_run("eval", "m", "r", settings, {"tasks": tasks, "contexts": 8})
    store.finish_run(number, "finished", Evaluation(rows, (), **values).summary())
    return str(number)


def trained(store: Store, rounds: int = 2, **changes) -> list[str]:
    """A finished `train` run; its policies."""
    store.start_run("train", "m", "r", {"rounds": rounds}, {"key": "k", "tasks": 4})
    folders = [f"lib/policies/abc/round-{n}" for n in range(1, rounds + 1)]
    for number, folder in enumerate(folders, start=1):
        numbers = (number, folder, True, 0, 4, 0, 0.0, 0.5, 0.5, ("e",), (1.0,), 1.0)
        record = RoundRecord(*numbers, **changes)
        values = {name: getattr(record, name) for name in RoundRecord.__dataclass_fields__}
        store.put_cached("round", {round_key("k", number): values})
    return folders


def test_prompts_by_round_and_their_pairs(store, tmp_path):
    one, two = trained(store)
    first = stored(store, row("base"), row("own"), row("seal", UNSURE, one))
    # The same policy, its library moved elsewhere; its own row is measured a second time.
    second = stored(store, row("own"), row("seal", HIGH, f"/moved/{two}"))
    other = stored(store, row("own", UNSURE), strategy="self-qa")
    found = compare(store, [first, second, other], "prompts")
    assert found.rows == ("rewrite", "self-qa")
    assert found.columns == ("0 rounds", "1 round", "2 rounds")
    assert set(found.cells) == {
        ("rewrite", "0 rounds"), ("rewrite", "1 round"), ("rewrite", "2 rounds"),
        ("self-qa", "0 rounds"),
    }  # fmt: skip
    pairs = {(name, p.a, p.b): p for name, own in found.pairs for p in own}
    assert set(pairs) == {
        ("0 rounds", "self-qa", "rewrite"),
        ("rewrite", "1 round", "0 rounds"),
        ("rewrite", "2 rounds", "0 rounds"),
        ("rewrite", "2 rounds", "1 round"),
    }
    pair = pairs["rewrite", "2 rounds", "0 rounds"]
    expected = paired_difference(HIGH, LOW, 0, 500)
    assert (pair.difference, pair.low, pair.high) == (expected.value, expected.low, expected.high)
    assert pair.verdict == "2 rounds is better than 0 rounds"
    page = compare_page(found)
    for text in (page_markdown(page), render_page(page)):
        assert "75% " in text
        assert "n=16/8" in text
    assert json.loads(json.dumps(summary(found)))["pairs"][0]["within"] == "0 rounds"
    drawn = accuracy_by_round(found.curves)
    assert "rewrite from 0% to 75% after 2 rounds" in drawn
    for name in ("f.svg", "f.png", "f.pdf"):
        save_accuracy_by_round(found.curves, tmp_path / "new" / name)
    assert (tmp_path / "new" / "f.png").read_bytes()[1:4] == b"PNG"
    assert "<svg" in (tmp_path / "new" / "f.svg").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"\.svg"):
        save_accuracy_by_round(found.curves, tmp_path / "f.jpeg")


def test_a_reader_has_had_no_round_of_rl(store):
    (reader,) = trained(store, rounds=1, metrics={"documents": 4.0})
    run = stored(store, row("own"), row("seal", HIGH, reader))
    by_round = compare(store, [run], "prompts")
    assert by_round.columns == ("0 rounds",)
    assert by_round.rows == ("rewrite", "rewrite, abc/round-1")
    assert compare(store, [run], "table2").rows == ("own", "seal")


def test_conditions_by_regime(store):
    single = stored(store, row("base"), row("own", HIGH))
    cpt = stored(store, row("base"), row("own", UNSURE, regime="cpt"), regime="cpt")
    found = compare(store, [single, cpt], "table2")
    assert found.rows == ("base", "own")
    assert found.columns == ("single, 8 contexts", "cpt, 8 contexts")
    assert len(found.cells) == 4
    # base is one measurement: no pair with itself over the columns
    assert [name for name, _ in found.pairs] == [*found.columns, "own"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tasks": "others"}, "different contexts or questions"),
        ({"grader": "contains"}, "graded differently"),
    ],
)
def test_pairs_that_cannot_be_are_refused(store, changes, reason):
    one, _ = trained(store)
    first = stored(store, row("own"))
    second = stored(store, row("seal", HIGH, one), **changes)
    found = compare(store, [first, second], "prompts")
    assert not found.pairs
    assert any(reason in note and "1 round and 0 rounds" in note for note in found.notes)


def test_results_of_an_earlier_version_are_shown_but_not_paired(store):
    number = stored(store, row("base"), row("own", HIGH))
    result = store.run(int(number)).result
    assert result is not None
    for own in result["rows"]:
        del own["by_context"]
    store.finish_run(int(number), "finished", result)
    found = compare(store, [number], "table2")
    assert len(found.cells) == 2
    assert not found.pairs
    assert any("earlier version" in note for note in found.notes)


def test_what_cannot_be_told_apart_needs_a_name(store):
    first, second = stored(store, row("own")), stored(store, row("own", HIGH))
    with pytest.raises(InputError, match=f"second={second}"):
        compare(store, [first, second], "prompts")
    found = compare(store, [first, f"second={second}"], "prompts")
    assert found.rows == ("rewrite", "second")
    unknown = stored(store, row("seal", HIGH, "elsewhere/policy"))
    with pytest.raises(InputError, match=f"rewrite@2={unknown}"):
        compare(store, [unknown], "prompts")
    named = compare(store, [first, f"rewrite@2={unknown}"], "figure4")
    assert named.columns == ("0 rounds", "1 round", "2 rounds")
    assert [r and r.accuracy for r in named.curves["rewrite"]] == [0.0, None, 0.75]


def test_only_finished_evaluations(store):
    trained(store)
    with pytest.raises(InputError, match="kind train"):
        compare(store, ["1"], "table2")
    running = store.start_run("eval", "m", "r", {}, {})
    with pytest.raises(InputError, match="still going"):
        compare(store, [str(running)], "table2")
    only_base = stored(store, row("base"))
    with pytest.raises(InputError, match="`own` or `seal`"):
        compare(store, [only_base], "prompts")
    assert compare(store, ["latest"], "table2").rows == ("base",)


def test_an_evaluation_comes_back_as_it_was(store):
    """NaN ends of an interval are stored as nothing."""
    single = row("base", (0.5,))
    nan = math.nan
    rows = (
        Row(**{**{n: getattr(single, n) for n in Row.__dataclass_fields__}, "low": nan, "high": nan}),
    )
    number = stored(store, *rows)
    run = store.run(int(number))
    assert run.result is not None
    found = Evaluation.of(run.result)
    assert math.isnan(found.rows[0].low)
    assert found.rows[0].by_context == (0.5,)
    page = run_report(store, run).page
    for text, wanted in itertools.product((page_markdown(page), render_page(page)), ("50%", "offline")):
        assert wanted in text
