"""Whether a GPU computes what the reference computes, and what one step of it does; prints JSON.

    python benchmarks/gpu_check.py [--device cuda] [--model smollm2-135m | --small smollm2-135m]
        [--shape qwen2.5-7b]

--small: a shape with random weights instead of the model; --shape: whose step is looked at.
For each precision: the bank (its kernels for this device) against the plain PEFT loop, packed against
padded states, and texts from CUDA graphs against eager ones. Then the kernels of one training step of
the shape, by the profiler. Nothing is asserted: the numbers are to be read.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from selfedit.bench.material import one_edit_each
from selfedit.bench.shapes import shaped_model
from selfedit.bench.ways import Bench, Way, difference
from selfedit.config import ALL_LINEAR, LoraSettings, SamplingSettings, TrainSettings
from selfedit.forward.attention import head_width, way_of
from selfedit.forward.packed import distance
from selfedit.lora.bank import AdapterBank
from selfedit.lora.sequences import TokenSequence
from selfedit.lora.train import BankTrainer
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import load_model
from selfedit.types import Prompt

LORA = LoraSettings(layers="upper-half")


def equality(model: LanguageModel, edits: int, epochs: int) -> dict[str, Any]:
    """The largest difference of a weight from the plain loop's, and the other comparisons."""
    work, _ = one_edit_each(edits, 1)
    bench = Bench(model, work, LORA, TrainSettings(epochs=epochs))
    plain: Any = bench.run(Way("plain"))
    ids = [sequence.ids for sequences in bench.data for sequence in sequences][:16]
    with torch.no_grad():
        packed, padded = model.decoder._packed(ids), model.decoder._padded(ids)
    bank = AdapterBank(model.hf, LORA, [0], num_layers=model.num_layers)
    return {
        "packs": model.decoder.packs(),
        "attention": way_of(model.decoder.device, model.hf.dtype, head_width(model.hf.config)),
        "grouped_products": bank.takes_groups,
        "weights_from_plain_loop": {
            kind: difference(plain, bench.run(Way(kind, edits))) for kind in ("packed", "padded")
        },
        "packed_states_from_padded": distance(packed, padded),
        "same_texts_with_graphs": _same_texts(model),
    }


def _same_texts(model: LanguageModel) -> float | None:
    """Share of greedy texts that are equal with and without CUDA graphs; None without CUDA."""
    if model.device != "cuda":
        return None
    prompts = [Prompt(f"Tell me about the number {n}.") for n in range(24)]
    greedy = SamplingSettings(temperature=0, top_p=1, max_new_tokens=32)
    texts = []
    for graphs in (True, False):
        model.engine = model.engine.model_copy(update={"cuda_graphs": graphs})
        texts.append([one.text for one in model.sample(prompts, greedy, [0] * len(prompts))])
    return sum(a == b for a, b in zip(*texts, strict=True)) / len(prompts)


def profiled(model: LanguageModel, adapters: int) -> dict[str, Any]:
    """Kernels, their time, and the dearest of them, in one step of the bank after two others."""
    cuda = model.device == "cuda"
    lora = LoraSettings(layers="upper-half", target_modules=ALL_LINEAR)
    data = [[TokenSequence(tuple(range(9 + (7 * n) % 22)))] for n in range(adapters)]
    bank = AdapterBank(model.hf, lora, range(adapters), num_layers=model.num_layers)
    trainer = BankTrainer(model.decoder, bank, data, [TrainSettings(epochs=4)] * adapters)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if cuda else []
    profiler = torch.profiler.profile(activities=kinds)

    def on_step(done: int, steps: int) -> None:
        if done == 2:
            profiler.start()
        elif done == 3:
            profiler.stop()

    trainer.run(on_step)
    place = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
    events = [event for event in profiler.key_averages() if event.device_type == place]
    spent = {
        event.key[:80]: (event.self_device_time_total if cuda else event.self_cpu_time_total) / 1e3
        for event in events
    }
    dearest = sorted(spent.items(), key=lambda item: -item[1])[:12]
    return {
        "adapters": adapters,
        "kernels": sum(event.count for event in events),
        "milliseconds": sum(spent.values()),
        "dearest_milliseconds": dict(dearest),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = {"device": "auto", "model": "smollm2-135m", "small": "", "shape": "qwen2.5-7b"}
    for name, default in names.items():
        parser.add_argument(f"--{name}", default=default)
    for name, number in (("edits", 4), ("epochs", 2), ("adapters", 24)):
        parser.add_argument(f"--{name}", type=int, default=number)
    given = parser.parse_args()
    result: dict[str, Any] = {}
    for dtype in ("float32", "bfloat16"):
        where = {"device": given.device, "dtype": dtype}
        model = shaped_model(given.small, **where) if given.small else load_model(given.model, **where)
        result[dtype] = equality(model, given.edits, given.epochs)
    del model
    shaped = shaped_model(given.shape, device=given.device)
    result["one_step"] = {"shape": given.shape, **profiled(shaped, given.adapters)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
