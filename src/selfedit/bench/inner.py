"""`selfedit bench inner`: seconds per self-edit for the bank and for the ways it is compared with.

One process, one model, the same edits and settings. Every way is warmed up on one epoch, then all are
timed in turn, and medians are compared. The released way takes minutes per edit, nearly all of it on
padding: a few of its steps are timed and the others counted at their median.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from selfedit.bench.floor import Counts, describe, measure_ceiling, synchronise
from selfedit.bench.material import one_edit_each
from selfedit.bench.outcome import RELEASED, Measured, middle, ratios, released_row, row
from selfedit.bench.plan import PRODUCTS, InnerBench, is_widest, list_ways
from selfedit.bench.tokenising import measure_tokenising
from selfedit.bench.trainer import trainer_way
from selfedit.bench.ways import Bench, Kind, Trained, Way, difference
from selfedit.config import LoraSettings, TrainSettings
from selfedit.errors import OutOfMemory
from selfedit.forward.memory import measured_peak, resident_peak, within_memory
from selfedit.loops.waves import LANE
from selfedit.lora.bank import AdapterBank
from selfedit.lora.targets import find_targets, first_layer
from selfedit.model.language_model import LanguageModel
from selfedit.model.tiny import exact_norms
from selfedit.show.wording import duration

Say = Callable[[str], None]
PEFT_ADAPTERS = 8


def run_inner(
    model: LanguageModel,
    lora: LoraSettings,
    train: TrainSettings,
    what: InnerBench,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Timings and ratios under stable keys; None where a key's ways were not run.

    ratio_to_plain_loop, ratio_to_plain_loop_with_trunk, ratio_to_plain_loop_at_best,
    ratio_to_unpadded_trainer, ratio_to_released, ratio_to_mixed_batch: tokens per second of the bank
    at the largest of `widths` over that way's; the same as seconds over seconds where both are
    timed on the same edits. The second is the bank with the trunk, from the third on it is the
    quickest bank (refilled slots may be fewer), in the last the one without the trunk.
    answers_ratio: seconds of PEFT, one adapter after the other, over ours. max_weight_difference:
    between the plain loop and any bank, after all epochs, over the edits that both trained.
    planned_memory and peak_memory: bytes of tensors in addition to the model, for the widest
    bank's first wave in one epoch, by one thread. For tokenising see `bench.tokenising`.
    """
    work, source = one_edit_each(what.edits, what.questions)
    bench = Bench(model, work, lora, train)
    lane = LANE.get(model.device, 1)
    ways = list_ways(what, _has_trunk(model, lora), workers=model.num_workers, lane=lane)
    run = _Run(bench, ways, what, say)
    exact = _in_float64(bench, min(run.widest, 2)) if what.float64 else None
    run.warm_up()
    expected = duration(run.expected_seconds())
    say(f"training is expected to take {expected}; answers and the released way come on top")
    run.time_all()
    released = run.time_released() if what.released_edits else None
    return {
        "model": model.name,
        "device": model.device,
        "dtype": model.precision,
        "lora": lora.model_dump(mode="json"),
        "edits": len(work),
        "peer_edits": what.peer_edits or len(work),
        "edits_from": source,
        "epochs": train.epochs,
        "repeats": what.repeats,
        "workers": model.num_workers,
        "questions": what.questions,
        "tokens": bench.tokens,
        **run.outcome(released),
        **measure_tokenising(model, [each.plan for each in work], lora, train),
        "max_weight_difference_float64": exact,
    }


def _has_trunk(model: LanguageModel, lora: LoraSettings) -> bool:
    targets = find_targets(model.hf, lora, model.num_layers)
    return model.decoder.has_trunk(first_layer(targets))


class _Run:
    def __init__(self, bench: Bench, ways: Sequence[Way], what: InnerBench, say: Say) -> None:
        self.bench, self.what, self.say = bench, what, say
        self.found = {way: Measured(bench) for way in ways}
        self.widest = self._widest(lambda found: True)
        self.device = bench.model.decoder.device
        self.peft_answers: list[float] = []  # seconds per self-edit

    def _widest(self, good: Callable[[Measured], object]) -> int:
        kinds = ("packed", "trunk")
        return max(
            (w.adapters for w, f in self.found.items() if w.kind in kinds and good(f)), default=1
        )

    def warm_up(self) -> None:
        """One epoch of as many edits as share a step: warms up, and measures memory against what the
        planner says of the same. Then it is known what fits, and which edits each way is timed on."""
        for way, found in self.found.items():
            wave = self.bench.shorter(way.wave, 1)
            if way.kind in PRODUCTS:
                found.planned = wave.planned_memory(way)
            self._guarded(way, partial(self._warm_up, way, found, wave))
            self.say(f"warmed up: {way.name}")
        self.widest = self._widest(lambda found: not found.left_out)
        for way, found in self.found.items():
            found.part = self.bench.first(self.what.edits_of(way, self.widest))

    def _warm_up(self, way: Way, found: Measured, wave: Bench) -> None:
        if self.device.type == "cuda":
            spent = self._seconds(lambda: self._measure_peak(way, found, wave))
            found.pace = spent / wave.tokens
            return
        one = self.bench.shorter(1, 1)
        found.pace = self._seconds(lambda: one.run(way)) / one.tokens
        if self.device.type == "cpu" and self._is_main(way):
            found.resident = resident_peak(partial(wave.run, way))
            # The profiler takes longer than the training itself, and sees one thread.
            if not way.uses_threads:
                self._measure_peak(way, found, wave)

    def _measure_peak(self, way: Way, found: Measured, wave: Bench) -> None:
        found.peak = measured_peak(partial(wave.run, way), self.device)

    def expected_seconds(self) -> float:
        """Seconds of all training to be timed, at the pace of the warm-up, which is rather slow: on a
        CPU it trains one edit alone, and the frozen trunk saves time from the second epoch on."""
        return sum(
            found.pace * found.part.tokens * (self.what.repeats if self._is_main(way) else 1)
            for way, found in self.found.items()
            if not found.left_out
        )

    def _guarded(self, way: Way, work: Callable[[], Any]) -> Any:
        """Run `work`; None, with a recorded reason, if the way does not fit into memory."""
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
                if not found.left_out and (repeat == 0 or self._is_main(way)):
                    plain = self._time_once(way, repeat, plain) or plain
            if repeat == 0:
                self.widest = self._widest(lambda found: found.seconds)

    def _time_once(self, way: Way, repeat: int, plain: dict[int, Any]) -> dict[int, Any] | None:
        """Time a way; its banks end with this call, so that no other way trains beside them. plain:
        what the plain loop trained; returned, if this is it."""
        found = self.found[way]
        trained = self._guarded(way, partial(self._timed, way))
        if found.left_out:
            return None
        each, rate = found.seconds[-1] / len(found.part.data), found.rate
        self.say(f"repeat {repeat + 1}: {way.name} {each:.2f} s per self-edit, {rate:.0f} tokens/s")
        if repeat > 0:
            return None
        plain = trained if way.kind == "plain" else plain
        if plain and trained:
            found.difference = difference(plain, trained)
        if way.kind == self._answering:
            self._guarded(way, partial(self._time_answers, way, trained))
        return trained if way.kind == "plain" else None

    @property
    def _answering(self) -> Kind:
        return "trunk" if any(way.kind == "trunk" for way in self.found) else "packed"

    def _is_main(self, way: Way) -> bool:
        return way.kind == "plain" or is_widest(way, self.widest)

    def _timed(self, way: Way) -> Trained:
        found = self.found[way]
        trained: list[Trained] = []
        found.seconds.append(self._seconds(lambda: trained.append(found.part.run(way))))
        return trained[0]

    def _time_answers(self, way: Way, banks: list[AdapterBank]) -> None:
        """Time the questions of each wave's adapters; once through PEFT, too."""
        if not self.what.questions:
            return
        first, found = not self.peft_answers, self.found[way]
        for repeat in range(self.what.repeats + 1):
            spent = self._seconds(partial(self.bench.answer, banks)) / len(found.part.data)
            through_peft = self._answer_through_peft(banks) if first else None
            if repeat > 0:  # the first warms up
                found.answers.append(spent)
                self.peft_answers += [] if through_peft is None else [through_peft]
        self.say(f"answered: {way.name}")

    def _answer_through_peft(self, banks: list[AdapterBank]) -> float:
        """Seconds per self-edit; a few adapters are enough, since each is asked by itself."""
        times: list[float] = []
        count = self.bench.answer_through_peft(
            banks, lambda work: times.append(self._seconds(work)), most=PEFT_ADAPTERS
        )
        return times[0] / count

    def _seconds(self, work: Callable[[], Any]) -> float:
        synchronise(self.device)
        start = time.perf_counter()
        work()
        synchronise(self.device)
        return time.perf_counter() - start

    def time_released(self) -> float:
        """Tokens per second of the released way for all edits, by steps from the edits that it was
        timed on: every step of it costs the same, whatever the sequence holds."""
        some = self.bench.first(self.what.released_edits)
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
        return self.bench.tokens / (spent / some.steps * self.bench.steps)

    def outcome(self, released: float | None) -> dict[str, Any]:
        """The ratios, the device's ceilings, the model's sizes, and `ways`: one row for each."""
        model = self.bench.model
        main = Way(self._answering, self.widest)
        ceiling = measure_ceiling(self.device, torch.bfloat16 if model.mixed else model.hf.dtype)
        counts = Counts.of(model, self.bench.lora)
        rows: dict[str, Any] = {}
        for way, found in self.found.items():
            answers = found.answers if way.is_bank else self.peft_answers
            rows[way.name] = row(way, found, middle(answers), ceiling, counts)
        if released is not None:
            rows[RELEASED] = released_row(self.bench, released)
        return {
            **ratios(self.found, main=main, released=released, peft_answers=self.peft_answers),
            **describe(ceiling, counts),
            "ways": rows,
        }


def _in_float64(bench: Bench, width: int, edits: int = 2, epochs: int = 2) -> float:
    """The largest weight difference of bank and plain loop in float64, over a few edits."""
    own = bench.model
    exact = LanguageModel(
        exact_norms(copy.deepcopy(own.hf).double()),
        own.tokenizer,
        name=own.name,
        revision=own.revision,
        form=own.form,
        engine=own.engine,
        status=own.status,
    )
    train = bench.train.model_copy(update={"epochs": epochs})
    some = Bench(exact, bench.work[:edits], bench.lora, train)
    plain = some.run(Way("plain"))
    assert isinstance(plain, dict)
    kinds: tuple[Kind, ...] = ("packed", "trunk", "padded", "threads")
    banks = [*(Way(kind, width) for kind in kinds), Way("refilled", 1, lane=edits)]
    return max(difference(plain, some.run(way)) for way in banks)
