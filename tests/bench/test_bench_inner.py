"""The benchmark: its ways train the same adapters, its keys are there, its floors are right."""

from __future__ import annotations

import dataclasses
import json
import re
import runpy
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from selfedit.bench.floor import Ceiling, Counts
from selfedit.bench.inner import InnerBench, _Run, run_inner
from selfedit.bench.material import one_edit_each
from selfedit.bench.outcome import Measured, ratios, row
from selfedit.bench.plan import list_ways
from selfedit.bench.plots import save_by_size, save_by_width
from selfedit.bench.shapes import shape_config
from selfedit.bench.trainer import trainer_way
from selfedit.bench.ways import KINDS, Bench, Way, difference, padded_rows
from selfedit.cli.app import app
from selfedit.config import EngineSettings, LoraSettings, TrainSettings
from selfedit.errors import InputError
from selfedit.lora.train import BankTrainer
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import tiny_model

LORA = LoraSettings(rank=2, alpha=4)
TRAIN = TrainSettings(epochs=2, max_tokens=24)
KEYS = (
    "ratio_to_plain_loop",
    "ratio_to_plain_loop_with_trunk",
    "ratio_to_released",
    "ratio_to_unpadded_trainer",
    "answers_ratio",
    "max_weight_difference",
    "planned_memory",
    "peak_memory",
)


@pytest.fixture(autouse=True)
def _shipped_edits(monkeypatch):
    """Recorded edits are longer, and not everywhere: what ships is trained here."""
    monkeypatch.setenv("SELFEDIT_DATA", "/nowhere")


@pytest.fixture
def bench(tiny):
    return Bench(tiny, one_edit_each(3)[0], LORA, TRAIN)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("plain", "trainer")])
def test_every_way_trains_what_the_plain_loop_trains(bench, kind):
    plain = bench.run(Way("plain"))
    assert difference(plain, bench.run(Way(kind, 2))) <= 1e-9
    other = Bench(bench.model, bench.work, LORA, TRAIN.model_copy(update={"learning_rate": 2e-3}))
    assert difference(plain, other.run(Way(kind, 2))) > 1e-4


@pytest.mark.parametrize(
    ("way", "expected"),
    [(Way("trunk", 2), [1, 1]), (Way("threads", 2), [2, 2]), (Way("refilled", 2, lane=2), [2])],
)
def test_only_some_ways_train_in_threads_or_refill(bench, way, expected, monkeypatch):
    model = tiny_model()
    model.engine = EngineSettings(workers=2)
    seen = []

    class Spied(BankTrainer):
        def __init__(self, *args, **more):
            super().__init__(*args, **more)
            assert more["slots"] == 2
            seen.append(len(self.decoders))

    monkeypatch.setattr("selfedit.bench.ways.BankTrainer", Spied)
    own = Bench(model, bench.work, LORA, TRAIN)
    assert difference(bench.run(Way("plain")), own.run(way)) <= 1e-9
    assert seen == expected  # a wave each


def test_padded_rows_are_used_while_open_and_packed_ones_afterwards(tiny):
    with padded_rows(tiny.decoder):
        assert tiny.decoder.row_width([[1, 2], [3]]) == 2
    assert tiny.decoder.row_width([[1, 2], [3]]) is None


def test_the_trainer_leaves_the_model_as_it_was(bench):
    before = {name: weight.clone() for name, weight in bench.model.hf.state_dict().items()}
    assert trainer_way(bench.model, LORA, bench.data[0], TRAIN, pad_to=32, max_steps=2) > 0
    after = bench.model.hf.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(p.requires_grad for p in bench.model.hf.parameters())


def test_the_result_has_every_stable_key_and_can_be_drawn(tiny, tmp_path):
    what = InnerBench(
        edits=2, widths=(1, 2), repeats=1, released_edits=1, released_steps=1, float64=True
    )
    result = run_inner(tiny, LORA, TRAIN, what)
    assert all(result[key] is not None for key in KEYS)
    assert result["max_weight_difference"] <= 1e-9
    assert result["max_weight_difference_float64"] <= 1e-9
    assert all(way["achieved_over_floor"] > 1 for way in result["ways"].values() if "timed" in way)
    stored = json.loads(json.dumps(result))
    save_by_width([stored], tmp_path / "widths.svg")
    save_by_size([stored, stored], tmp_path / "sizes.svg")
    assert "frozen trunk" in (tmp_path / "widths.svg").read_text(encoding="utf-8")
    with pytest.raises(InputError, match=r"\.svg"):
        save_by_width([stored], tmp_path / "widths.txt")


def test_the_command_prints_its_table_and_draws(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("selfedit.model.load.load_model", lambda *args, **kwargs: tiny)
    figure = tmp_path / "widths.png"
    options = "--edits 2 --widths 1,2 --ways plain,trunk --epochs 1 --repeats 1 --released-edits 0"
    command = ["bench", "inner", *options.split(), "--questions", "0", "--plot", str(figure)]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "bank, K=2, frozen trunk" in done.stdout
    assert re.search(r"ratio_to_plain_loop_with_trunk +[0-9.]+", done.stdout)
    assert re.search(r"ratio_to_released +not measured", done.stdout)
    assert figure.stat().st_size > 0
    with pytest.raises(InputError, match="--ways"):
        CliRunner().invoke(app, ["bench", "inner", "--ways", "plan"], catch_exceptions=False)


def test_answers_of_both_ways_are_the_same(tiny, monkeypatch):
    monkeypatch.setattr("selfedit.model.load.load_model", lambda *args, **kwargs: tiny)
    command = ["bench", "answers", "--articles", "1", "--edits", "1", "--repeats", "1", "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["same_answers"] == 1.0  # in float64
    assert result["answers_ratio"] > 0


def test_what_was_not_run_is_none(tiny):
    what = InnerBench(edits=1, widths=(4,), kinds=("packed",), repeats=1, released_edits=0, questions=0)
    result = run_inner(tiny, LORA.model_copy(update={"layers": "all"}), TRAIN, what)
    assert list(result["ways"]) == ["bank, K=1"]
    assert result["ratio_to_plain_loop"] is None
    assert result["ratio_to_released"] is None
    assert result["answers_ratio"] is None


def test_widths_stop_at_the_number_of_edits():
    ways = list_ways(InnerBench(edits=3, widths=(1, 2, 8, 64), kinds=("packed", "padded")), trunk=True)
    assert [(way.kind, way.adapters) for way in ways] == [
        *(("packed", k) for k in (1, 2, 3)),
        *(("padded", k) for k in (2, 3)),
    ]


def test_peers_and_narrow_banks_are_timed_on_the_first_edits():
    kinds = ("plain", "trainer", "mixed", "padded", "packed", "trunk", "checkpointed")
    what = InnerBench(edits=64, widths=(1, 4, 16, 64), kinds=kinds, peer_edits=6)
    edits = {way.name: what.edits_of(way, widest=64) for way in list_ways(what, trunk=True)}
    assert edits == {
        **{"plain PEFT loop": 6, "Trainer, unpadded": 6, "PEFT mixed batch, K=6": 6},
        **{"bank, K=4, padded": 8, "bank, K=16, padded": 16, "bank, K=64, padded": 64},
        **{"bank, K=1": 6, "bank, K=4": 8, "bank, K=16": 16, "bank, K=64": 64},
        **{f"bank, K={k}, frozen trunk": n for k, n in ((1, 6), (4, 8), (16, 16), (64, 64))},
        "bank, K=64, checkpointed": 64,
    }
    # All of them for the bank that turned out to be the widest, and for all without the option.
    assert what.edits_of(Way("packed", 16), widest=16) == 64
    assert InnerBench(edits=64).edits_of(Way("plain"), widest=4) == 64


def test_ratios_are_of_tokens_a_second_and_rows_of_what_was_run(bench):
    """The plain loop is timed on the first edit alone; the edits differ in length."""
    one, all_three = bench.first(1), bench
    assert all_three.tokens != 3 * one.tokens
    found = {
        Way("plain"): Measured(one, seconds=[8.0, 2.0, 4.0]),
        Way("mixed", 1): Measured(one, seconds=[16.0]),
        Way("packed", 3): Measured(all_three, seconds=[6.0], difference=1e-3),
        Way("checkpointed", 3): Measured(all_three, seconds=[12.0], difference=2e-3, planned=7, peak=8),
    }
    keys = ratios(found, main=Way("packed", 3), released=0.5, peft_answers=[])
    rate, plain = all_three.tokens / 6, one.tokens / 4
    assert keys["ratio_to_plain_loop"] == pytest.approx(rate / plain)
    assert keys["ratio_to_mixed_batch"] == pytest.approx(4 * rate / plain)
    assert keys["ratio_to_released"] == pytest.approx(rate / 0.5)
    assert keys["gain_of_trunk"] is None
    assert keys["max_weight_difference"] == 2e-3
    assert keys["peak_memory"] is None  # of the main way, not of the checkpointed one
    counts = Counts(lower=100, upper=100, head=50, adapter=10, item=4)
    own = row(Way("plain"), found[Way("plain")], None, Ceiling(1e6, 1e6), counts)
    assert (own["edits"], own["seconds_per_edit"], own["timed"]) == (1, 4.0, 3)
    assert own["tokens_per_second"] == pytest.approx(plain)


def test_few_peer_edits_are_trained_and_compared_as_all_are(tiny, monkeypatch):
    trained, told = [], []
    original = Bench.run
    monkeypatch.setattr(
        Bench, "run", lambda self, way: trained.append((way, self)) or original(self, way)
    )
    what = InnerBench(
        edits=3,
        widths=(1, 3),
        kinds=("plain", "packed", "checkpointed"),
        repeats=1,
        peer_edits=1,
        released_edits=0,
        questions=0,
    )
    lora = LORA.model_copy(update={"layers": "all"})
    result = run_inner(tiny, lora, TRAIN, what, told.append)
    timed = {way.name: len(own.data) for way, own in trained if own.train.epochs == TRAIN.epochs}
    assert timed == {name: way["edits"] for name, way in result["ways"].items()}
    assert timed["plain PEFT loop"] == timed["bank, K=1"] == 1
    assert timed["bank, K=3"] == timed["bank, K=3, checkpointed"] == 3
    assert (result["edits"], result["peer_edits"]) == (3, 1)
    assert result["max_weight_difference"] <= 1e-9
    widest, less = (result["ways"][f"bank, K=3{kind}"] for kind in ("", ", checkpointed"))
    assert less["peak_memory"] < widest["peak_memory"]
    assert less["planned_memory"] < widest["planned_memory"]
    assert less["peak_memory"] == pytest.approx(less["planned_memory"], rel=0.15)
    assert any("expected to take" in line for line in told)


def test_expected_seconds_count_what_is_timed(bench):
    what = InnerBench(
        edits=3, widths=(3,), kinds=("plain", "trainer", "packed"), repeats=4, peer_edits=1
    )
    run = _Run(bench, list_ways(what, trunk=True), what, lambda text: None)
    for found, pace in zip(run.found.values(), (0.5, 0.25, 0.125), strict=True):
        found.pace = pace
    run.found[Way("plain")].part = run.found[Way("trainer")].part = one = bench.first(1)
    # The plain loop and the widest bank four times, the Trainer once.
    expected = 4 * 0.5 * one.tokens + 0.25 * one.tokens + 4 * 0.125 * bench.tokens
    assert run.expected_seconds() == pytest.approx(expected)
    run.found[Way("packed", 3)].left_out = "no memory"
    assert run.expected_seconds() == pytest.approx(2.25 * one.tokens)


def test_recorded_edits_are_64_different_ones(shared_data, monkeypatch):
    monkeypatch.setenv("SELFEDIT_DATA", str(shared_data("recorded/round1_trials.json").parents[1]))
    work, source = one_edit_each(64)
    assert source == "a recorded run"
    assert len({each.plan for each in work}) == 64


def test_results_tables_have_a_row_a_way_and_a_row_a_key(tiny):
    what = InnerBench(edits=2, widths=(2,), kinds=("plain", "packed"), repeats=1, released_edits=1)
    what = dataclasses.replace(what, released_steps=1, questions=1)
    result = run_inner(tiny, LORA, TRAIN, what)
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/results_table.py"))
    lines = list(script["inner_tables"](json.loads(json.dumps(result))))
    cells = {line.split(" | ")[0]: line.strip("| ").split(" | ") for line in lines if line[:2] == "| "}
    header = cells["| way"]
    for name in ("plain PEFT loop", "bank, K=2", "released way"):
        way = dict(zip(header, cells[f"| {name}"], strict=False))
        assert float(way["s an edit"]) == pytest.approx(
            result["ways"][name]["seconds_per_edit"], abs=0.006
        )
        assert way["edits"] == "2"
    column = header.index("tokens/s over plain loop")
    assert float(cells["| bank, K=2"][column]) == pytest.approx(result["ratio_to_plain_loop"], rel=0.01)
    assert float(cells["| plain PEFT loop"][column]) == 1
    assert all(f"| `{key}`" in cells for key in KEYS)
    assert cells["| `ratio_to_plain_loop_with_trunk`"][1] == "not measured"
    assert (
        len(
            {line.count("|") for line in lines if line.startswith(("| way", "| bank", "|---|---|---|"))}
        )
        == 1
    )


def test_floors_of_a_7b_shape_on_an_h100():
    """By hand: 7.07 B weights in products, 12 sequences x 64 tokens, 10 epochs, 800 TFLOP/s, 3 TB/s."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(shape_config("qwen2.5-7b"), dtype=torch.bfloat16)
    model = object.__new__(LanguageModel)
    model.hf, model.num_layers = hf, hf.config.num_hidden_layers
    seconds = {}
    for modules in (("q_proj", "v_proj"), LoraSettings().target_modules):
        counts = Counts.of(model, LoraSettings(layers="all", target_modules=modules))
        assert counts.lower + counts.upper + counts.head == pytest.approx(7.07e9, rel=1e-3)
        work = {"tokens": 768, "steps": 120, "epochs": 10, "trunk": False}
        seconds[len(modules)] = [
            counts.seconds(Ceiling(800e12, 3e12), together=k, **work) for k in (1, 8)
        ]
    assert seconds[2] == pytest.approx([1.15, 0.29], rel=0.03)
    assert seconds[7][1] == pytest.approx(0.41, rel=0.05)
