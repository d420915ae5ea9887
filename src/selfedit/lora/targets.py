"""Which linear modules of a model get an adapter.

By default every one of the decoder's layers, whatever its name (PEFT's "all-linear"): `nn.Linear` and
the `Conv1D` of GPT-2 and others, which holds its weight the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from selfedit.config import ALL_LINEAR, LoraSettings
from selfedit.errors import InputError
from selfedit.forward.packed import find_layers

# PEFT refuses adapters of these modules in these models, whose fast kernels read their weights directly
# (peft.tuners.tuners_utils._check_lora_target_modules_mamba).
_NOT_FOR_PEFT = ("out_proj", ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"))
# In these models PEFT takes adapters of modules with the experts' names for those of the experts, which
# are one tensor since transformers 5 (peft.utils.transformers_weight_conversion, PEFT 0.21).
_EXPERTS_FOR_PEFT = (
    ("gate_proj", "up_proj", "down_proj"),
    tuple(
        "afmoe deepseek_v2 deepseek_v3 deepseek_v32 dots1 ernie4_5_moe glm4_moe glm4_moe_lite "
        "glm_moe_dsa longcat_flash solar_open mellum qwen3_moe qwen3_next hunyuan_v1_moe flex_olmo "
        "olmoe exaone_moe cohere2_moe".split()
    ),
)
# Why a weight gets no adapter.
_STACKED = "several matrices in one tensor, such as all experts"
_TOKENS = 4  # of each of the two texts that modules are watched with


@dataclass(frozen=True)
class Target:
    """One adapted linear module, and the place of its A and B in a row of the bank's weights."""

    name: str
    linear: nn.Module
    offset: int

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.linear.get_parameter("weight")
        return weight

    @property
    def fan_in(self) -> int:
        return int(self.weight.shape[0 if isinstance(self.linear, Conv1D) else 1])

    @property
    def fan_out(self) -> int:
        return int(self.weight.shape[1 if isinstance(self.linear, Conv1D) else 0])

    def size(self, rank: int) -> int:
        return rank * (self.fan_in + self.fan_out)


@dataclass(frozen=True)
class Linears:
    """A model's linear modules inside the decoder's layers, in module order.

    modules: those that an adapter can be added to, by full name. left_out: what else holds weights of
    matrix products there, with the reason.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def layer_index(name: str) -> int | None:
    """Index of the decoder layer that a module name lies in; None outside the layers."""
    match = re.search(r"\.(\d+)\.", name)
    return int(match.group(1)) if match else None


def resolve_layers(layers: str, num_layers: int) -> range:
    """The layer indices that `LoraSettings.layers` names. Raises InputError."""
    if layers == "all":
        return range(num_layers)
    if layers == "upper-half":
        return range(num_layers // 2, num_layers)
    match = re.fullmatch(r"(\d+)-(\d+)", layers)
    if not match:
        raise InputError(f'layers "{layers}": use "all", "upper-half" or a range such as "15-29".')
    first, last = int(match.group(1)), int(match.group(2))
    if first > last or last >= num_layers:
        raise InputError(f'layers "{layers}": this model has layers 0-{num_layers - 1}.')
    return range(first, last + 1)


def find_targets(model: PreTrainedModel, settings: LoraSettings, num_layers: int) -> list[Target]:
    """The linear modules to adapt, in module order. Raises InputError if there are none."""
    layers = resolve_layers(settings.layers, num_layers)
    found = linears(model).modules
    wanted = None if takes_all(settings) else settings.target_modules
    chosen = [
        (name, module)
        for name, module in found.items()
        if layer_index(name) in layers and (wanted is None or last(name) in wanted)
    ]
    if not chosen:
        present = sorted({last(name) for name in found})
        raise InputError(
            f"none of the target modules {', '.join(settings.target_modules)} is a linear module of "
            f"this model's layers {layers[0]}-{layers[-1]}; it has {', '.join(present) or 'none'}. "
            "Choose among them with --target-modules, or leave that out for all of them."
        )
    return placed(chosen, settings.rank)


def placed(modules: Sequence[tuple[str, nn.Module]], rank: int) -> list[Target]:
    """The modules as targets, one after the other in a row of the bank's weights."""
    targets: list[Target] = []
    offset = 0
    for name, module in modules:
        targets.append(Target(name, module, offset))
        offset += targets[-1].size(rank)
    return targets


def takes_all(settings: LoraSettings) -> bool:
    """Whether all linear modules are meant. The default lists those of Llama and its like, which it
    did before other models were supported: stored results are found by it."""
    return settings.target_modules == ALL_LINEAR


def first_layer(targets: Sequence[Target]) -> int:
    """The lowest decoder layer with an adapter; those below are the frozen trunk."""
    return min(layer_index(target.name) or 0 for target in targets)


def last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


# What was found out about each model; its modules do not change.
_linears: WeakKeyDictionary[nn.Module, Linears] = WeakKeyDictionary()


def linears(model: PreTrainedModel) -> Linears:
    """The model's linear modules, found out once, while no adapter is attached to it."""
    if model not in _linears:
        _linears[model] = _find(model)
    return _linears[model]


def _find(model: PreTrainedModel) -> Linears:
    layers = find_layers(model)[1]
    inside = [name for name, module in model.named_modules() if module is layers]
    assert inside, "the decoder's layers are part of the model"
    prefix = f"{inside[0]}."
    own = {name: module for name, module in model.named_modules() if name.startswith(prefix)}
    known = {name: module for name, module in own.items() if isinstance(module, nn.Linear | Conv1D)}
    module_name, kinds = _NOT_FOR_PEFT
    barred = module_name if model.config.model_type in kinds else ""
    names, of_experts = _EXPERTS_FOR_PEFT
    experts = names if model.config.model_type in of_experts else ()
    result = Linears()
    seen = None if all(map(is_usual, known)) else _watched(model, known)
    for name, module in known.items():
        if last(name) == barred:
            result.left_out[name] = "PEFT takes no adapter for it"
        elif last(name) in experts:
            result.left_out[name] = "PEFT would take it for the experts'"
        elif seen is not None and name not in seen:
            result.left_out[name] = "not called once with each token"
        else:
            result.modules[name] = module
    result.left_out.update(
        dict.fromkeys(stacked(own), "several matrices in one tensor, such as all experts")
    )
    return result


def is_usual(name: str) -> bool:
    """Whether a module is one of Llama's by name, and not one of many experts'."""
    return last(name) in ALL_LINEAR and len(re.findall(r"\.\d+(?=\.)", name)) == 1


def stacked(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """Names of tensors that stack a matrix for each expert."""
    for name, module in modules.items():
        if "conv" in type(module).__name__.lower():
            continue
        for own, weight in module.named_parameters(recurse=False):
            if weight.dim() == 3 and min(weight.shape) > 1:
                yield f"{name}.{own}"


def _watched(model: PreTrainedModel, modules: Mapping[str, nn.Module]) -> set[str]:
    """The modules that are called once in a forward pass, with a row for each token, in their order:
    what the bank relies on. An expert of its own is not: it sees the tokens that are sent to it.

    A text's last token is changed, and only the row at its place may change with it.
    """
    calls: dict[str, list[Tensor]] = {}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            # A router may be a linear module that returns more than its product.
            plain = args and isinstance(output, Tensor)
            calls.setdefault(name, []).append(args[0].detach() if plain else torch.empty(0))

        return modules[name].register_forward_hook(keep)

    handles = [watch(name) for name in modules]
    ids = torch.arange(1, 1 + 2 * _TOKENS, device=model.device).view(2, _TOKENS)
    places = [2 * _TOKENS - 1, _TOKENS - 1]
    runs: list[dict[str, list[Tensor]]] = []
    again: set[str] = set()  # DeepSeek caches what it then multiplies anew for all tokens
    try:
        with torch.no_grad():
            for place in [None, *places]:
                changed = ids.clone()
                if place is not None:
                    changed.view(-1)[place] = 0
                calls.clear()
                model(input_ids=changed, use_cache=False)
                runs.append(dict(calls))
            calls.clear()
            with suppress(Exception):  # a model whose cache is of another kind, or none
                past = model(input_ids=ids, use_cache=True).past_key_values
                calls.clear()
                model(input_ids=ids[:, :1], past_key_values=past, use_cache=True)
                again = {name for name, steps in calls.items() if _rows(steps[-1]) > len(ids)}
    finally:
        for handle in handles:
            handle.remove()
    return {name for name in modules if _in_order([run.get(name, []) for run in runs], places)} - again


def _rows(x: Tensor) -> int:
    return x[..., 0].numel() if x.dim() > 1 else 0


def _in_order(runs: Sequence[Sequence[Tensor]], places: Sequence[int]) -> bool:
    if any(len(calls) != 1 for calls in runs):
        return False
    rows = [x[0] for x in runs]
    if any(x.dim() < 2 or _rows(x) != 2 * _TOKENS for x in rows):
        return False
    before, *after = (x.reshape(2 * _TOKENS, -1).double() for x in rows)
    for x, place in zip(after, places, strict=True):
        moved = (x - before).norm(dim=1) > 1e-3 * before.norm(dim=1)
        moved[place] = False
        if moved.any():
            return False
    return True


def left_out(model: PreTrainedModel, targets: Sequence[Target]) -> str:
    """What gets no adapter though it is a matrix product of a layer with adapters; "" if nothing."""
    layers = {layer_index(target.name) for target in targets}
    reasons: dict[str, dict[str, None]] = {}
    for name, reason in linears(model).left_out.items():
        if layer_index(name) in layers:
            short = re.sub(r"\.\d+(?=\.|$)", ".*", name.split(f".{layer_index(name)}.", 1)[1])
            reasons.setdefault(reason, {})[short] = None
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
