"""`selfedit bench inner`: seconds a self-edit for the bank, and for the ways it is measured against.

One process, one model, the same edits and settings. Every way is warmed up on one epoch, then all are
timed in turn, and medians are compared. The released way takes minutes an edit, nearly all of it on
padding: a few of its steps are timed and the others counted at their median.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from selfedit.bench.floor import Counts, describe, measure_ceiling, synchronise
from selfedit.bench.material import one_edit_each
from selfedit.bench.trainer import trainer_way
from selfedit.bench.ways import Bench, Kind, Trained, Way, difference
from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import OutOfMemory
from selfedit.lora.bank import find_targets, layer_index
from selfedit.model.language_model import LanguageModel
from selfedit.model.memory import measured_peak, within_memory
from selfedit.testing import exact_norms

Say = Callable[[str], None]
RELEASED = "released way"


@dataclass(frozen=True, slots=True)
class InnerBench:
    """What is run. widths: K, the adapters that share a step. repeats: of the plain loop and the widest
    bank; the other ways are side questions and are timed once. released_edits: edits of the released
    way, 0: none; released_steps: steps of each that are taken, 0: all."""

    edits: int = 4
    widths: tuple[int, ...] = (1, 4)
    kinds: tuple[Kind, ...] = ("plain", "trainer", "mixed", "padded", "packed", "trunk")
    repeats: int = 2
    released_edits: int = 2
    released_steps: int = 3
    questions: int = 5
    float64: bool = False


@dataclass
class _Measured:
    """What is known of a way. difference: to the plain loop; left_out: why it was not timed."""

    seconds: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    peak: int | None = None
    planned: int | None = None
    difference: float | None = None
    left_out: str = ""


def run_inner(
    model: LanguageModel,
    lora: LoraSettings,
    train: TrainSettings,
    what: InnerBench,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Timings and ratios under stable keys; None where a key's ways were not run.

    ratio_to_plain_loop, ratio_to_plain_loop_with_trunk, ratio_to_unpadded_trainer, ratio_to_released,
    ratio_to_mixed_batch: seconds of that way over the bank's at the largest of `widths` (with the trunk
    where there is one). answers_ratio: PEFT, one adapter after the other, over ours.
    max_weight_difference: between the plain loop and any bank, after all epochs. planned_memory and
    peak_memory: bytes beside the model, of the widest bank's first wave in one epoch.
    """
    work, source = one_edit_each(what.edits, what.questions)
    bench = Bench(model, work, lora, train)
    ways = list_ways(what, _has_trunk(model, lora))
    run = _Run(bench, ways, what, say)
    run.warm_up()
    run.time_all()
    run.time_answers()
    released = run.time_released() if what.released_edits else None
    return {
        "model": model.name,
        "device": model.device,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
        "lora": lora.model_dump(mode="json"),
        "edits": len(work),
        "edits_from": source,
        "epochs": train.epochs,
        "repeats": what.repeats,
        "questions": what.questions,
        "tokens": bench.tokens,
        **run.ratios(released),
        "max_weight_difference_float64": _in_float64(bench, run.widest) if what.float64 else None,
        **run.table(released),
    }


def list_ways(what: InnerBench, trunk: bool) -> list[Way]:
    """The ways of each kind, the banks and the mixed batch at each width up to the number of edits."""
    widths = sorted({min(width, what.edits) for width in what.widths})
    ways = []
    for kind in what.kinds:
        if kind in ("plain", "trainer"):
            ways.append(Way(kind))
        elif kind == "mixed":
            ways.append(Way(kind, widths[-1]))
        elif kind != "trunk" or trunk:
            # One adapter at a time has no padding, unless it has batches.
            ways += [Way(kind, width) for width in widths if kind != "padded" or width > 1]
    return ways


def _has_trunk(model: LanguageModel, lora: LoraSettings) -> bool:
    targets = find_targets(model.hf, lora, model.num_layers)
    return model.decoder.has_trunk(min(layer_index(target.name) or 0 for target in targets))


class _Run:
    def __init__(self, bench: Bench, ways: Sequence[Way], what: InnerBench, say: Say) -> None:
        self.bench, self.ways, self.what, self.say = bench, list(ways), what, say
        self.found = {way: _Measured() for way in ways}
        self.widest = max((way.adapters for way in ways if way.is_bank), default=1)
        self.device = bench.model.decoder.device
        self.banks: dict[Way, Any] = {}
        self.peft_answers: list[float] = []

    def warm_up(self) -> None:
        """One epoch of as many edits as share a step: warms up, and measures memory against what the
        planner says of the same."""
        has_trunk = any(way.kind == "trunk" for way in self.ways)
        for way, found in self.found.items():
            short = self.bench.shorter(way.adapters, 1)
            if way.kind == "trunk" or (way.kind == "packed" and not has_trunk):
                (wave,) = short.waves(way.adapters)
                plan = short.model.planned_memory(short.lora, short.train)
                found.planned = plan([short.work[k].plan for k in wave], wave)
            work = partial(measured_peak, partial(short.run, way), self.device)
            found.peak = self._guarded(way, work)
            self.say(f"warmed up: {way.name}")

    def _guarded(self, way: Way, work: Callable[[], Any]) -> Any:
        """work(); None, and a reason, where the way does not fit into memory."""
        try:
            return within_memory(work, way.name)
        except OutOfMemory as error:
            self.found[way].left_out = str(error)
            self.say(str(error))
            return None

    def time_all(self) -> None:
        plain: dict[int, Any] = {}
        for repeat in range(self.what.repeats):
            for way, found in self.found.items():
                if found.left_out or (repeat > 0 and not self._is_main(way)):
                    continue
                trained = self._guarded(way, partial(self._timed, way))
                if way.kind == "plain" and trained:
                    plain = trained
                if plain and trained and repeat == 0:
                    found.difference = difference(plain, trained)
                if repeat == 0 and way.kind == self._answering and trained:
                    self.banks[way] = trained
                if found.seconds:
                    each = found.seconds[-1] / self.what.edits
                    self.say(f"repeat {repeat + 1}: {way.name} {each:.2f} s a self-edit")

    @property
    def _answering(self) -> Kind:
        return "trunk" if any(way.kind == "trunk" for way in self.ways) else "packed"

    def _is_main(self, way: Way) -> bool:
        return way.kind == "plain" or (way.kind in ("packed", "trunk") and way.adapters == self.widest)

    def _timed(self, way: Way) -> Trained:
        start = self._clock()
        trained = self.bench.run(way)
        self.found[way].seconds.append(self._clock() - start)
        return trained

    def _clock(self) -> float:
        synchronise(self.device)
        return time.perf_counter()

    def time_answers(self) -> None:
        """What each wave's adapters are asked, by ours at each width and through PEFT."""
        if not self.what.questions or not self.banks:
            return
        for _ in range(self.what.repeats + 1):
            for way, banks in self.banks.items():
                self._add(self.found[way].answers, partial(self.bench.answer, banks))
            widest = self.banks[max(self.banks, key=lambda way: way.adapters)]
            self.bench.answer_through_peft(widest, lambda work: self._add(self.peft_answers, work))
            self.say("answered")
        for times in (self.peft_answers, *(self.found[way].answers for way in self.banks)):
            del times[0]  # the warm-up

    def _add(self, times: list[float], work: Callable[[], Any]) -> None:
        start = self._clock()
        work()
        times.append(self._clock() - start)

    def time_released(self) -> float:
        """Seconds of the released way for all edits, by tokens from the edits that it was timed on."""
        some = self.bench.shorter(self.what.released_edits, self.bench.train.epochs)
        spent = 0.0
        for sequences in some.data:
            spent += trainer_way(
                some.model,
                some.lora,
                sequences,
                some.train,
                max_steps=self.what.released_steps or None,
            )
            self.say(f"released way: {spent:.0f} s so far")
        # Every step of it costs the same, whatever the sequence holds.
        return spent / some.steps * self.bench.steps

    def _middle(self, kind: Kind, width: int | None = None) -> float | None:
        for way, found in self.found.items():
            if way.kind == kind and found.seconds and way.adapters == (width or way.adapters):
                return median(found.seconds)
        return None

    def ratios(self, released: float | None) -> dict[str, float | None]:
        packed, trunk = self._middle("packed", self.widest), self._middle("trunk", self.widest)
        best = trunk or packed
        ours = [found for way, found in self.found.items() if way.is_bank]
        main = self.found.get(Way(self._answering, self.widest), _Measured())
        differences = [found.difference for found in ours if found.difference is not None]
        return {
            "ratio_to_plain_loop": _over(self._middle("plain"), packed),
            "ratio_to_plain_loop_with_trunk": _over(self._middle("plain"), trunk),
            "ratio_to_unpadded_trainer": _over(self._middle("trainer"), best),
            "ratio_to_released": _over(released, best),
            "ratio_to_mixed_batch": _over(self._middle("mixed"), packed),
            "gain_of_unpadding": _over(released, self._middle("trainer")),
            "gain_of_a_tight_loop": _over(self._middle("trainer"), self._middle("plain")),
            "gain_of_batching": _over(self._middle("packed", 1), packed),
            "gain_of_packing": _over(self._middle("padded", self.widest), packed),
            "gain_of_trunk": _over(packed, trunk),
            "answers_ratio": _over(_median(self.peft_answers), _median(main.answers)),
            "max_weight_difference": max(differences, default=None),
            "planned_memory": main.planned,
            "peak_memory": main.peak,
        }

    def table(self, released: float | None) -> dict[str, Any]:
        """`ways`: each way's seconds, tokens a second, memory, and how far it is from its floor."""
        bench, count = self.bench, len(self.bench.data)
        ceiling = measure_ceiling(self.device, bench.model.hf.dtype)
        counts = Counts.of(bench.model, bench.lora)
        rows: dict[str, Any] = {}
        for way, found in self.found.items():
            spent = _median(found.seconds)
            answers = _median(found.answers if way.is_bank else self.peft_answers)
            floor = counts.seconds(
                ceiling,
                tokens=bench.tokens // bench.train.epochs // count,
                steps=bench.steps // count,
                epochs=bench.train.epochs,
                together=way.adapters,
                trunk=way.kind == "trunk",
            )
            rows[way.name] = {
                "kind": way.kind,
                "adapters": way.adapters,
                "seconds_per_edit": _over(spent, count),
                "answers_per_edit": _over(answers, count),
                "tokens_per_second": _over(bench.tokens, spent),
                "timed": len(found.seconds),
                "peak_memory": found.peak,
                "planned_memory": found.planned,
                "max_weight_difference": found.difference,
                "floor_seconds_per_edit": floor,
                "achieved_over_floor": _over(spent, count * floor),
                "left_out": found.left_out,
            }
        if released is not None:
            rows[RELEASED] = {
                "kind": "released",
                "adapters": 1,
                "seconds_per_edit": released / count,
                "tokens_per_second": bench.tokens / released,
            }
        return {**describe(ceiling, counts), "ways": rows}


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else a / b


def _in_float64(bench: Bench, width: int, edits: int = 2, epochs: int = 2) -> float:
    """The largest weight difference of bank and plain loop in float64, over a few edits."""
    own = bench.model
    exact = LanguageModel(
        exact_norms(copy.deepcopy(own.hf).double()),
        own.tokenizer,
        name=own.name,
        revision=own.revision,
        form=own.form,
    )
    train = bench.train.model_copy(update={"epochs": epochs})
    some = Bench(exact, bench.work[:edits], bench.lora, train)
    plain = some.run(Way("plain"))
    assert isinstance(plain, dict)
    return max(difference(plain, some.run(Way(kind, width))) for kind in ("packed", "trunk", "padded"))
