"""Policies whose texts a vLLM server writes: found to be the weights that it serves, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from selfedit.config import SamplingSettings
from selfedit.endpoints.vllm import VllmServer
from selfedit.errors import ModelError
from selfedit.model.control_tokens import control_tokens
from selfedit.model.generate import ending_tokens
from selfedit.model.language_model import LanguageModel
from selfedit.model.load import fingerprint, load_advice, revision_of, source_of
from selfedit.model.prompts import PromptFormat, render, resolve_format
from selfedit.model.quiet import quiet_transformers
from selfedit.model.vllm import ROWS, ThroughVllm, VllmTexts
from selfedit.seams import Adapters, Model
from selfedit.types import Completion, Prompt


def through_vllm(
    load: Callable[[str], Model], server: VllmServer, status: Callable[[str], None]
) -> Callable[[str], Model]:
    """Loads models whose texts the server writes: any, if it can be given their weights; else the one
    that it serves, which has to be the first. Later policies then write their texts here; `status` is
    told."""
    first = True

    def loaded(name: str) -> Model:
        nonlocal first
        model = load(name)
        if not isinstance(model, LanguageModel):
            raise ModelError(f"--sampler vllm: {name} has no tokens that vLLM could be asked with")
        source = source_of(name, status)
        if server.reloads:
            return ThroughVllm(model, server, source=_found_by(source))
        if _serves(server, source):
            first = False
            return ThroughVllm(model, server)
        if first:
            raise ModelError(_other(server, name, source))
        status(f"vLLM serves {server.root}, and not {name}: its texts are written here")
        return model

    return loaded


def _serves(server: VllmServer, source: str) -> bool:
    """Whether the server has loaded the weights of a folder or hub id."""
    root = Path(server.root)
    if not root.is_dir() or not Path(source).is_dir():
        return server.root == source
    return root.resolve() == Path(source).resolve() or fingerprint(root) == fingerprint(Path(source))


def _found_by(source: str) -> str:
    """A folder as another process finds it."""
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def _other(server: VllmServer, name: str, source: str) -> str:
    return (
        f"vLLM at {server.url} serves {server.root}, and not {name}: start it with the same weights "
        f"(vllm serve {source} --enable-lora …), let it be given others (VLLM_SERVER_DEV_MODE=1), or "
        "name its model with --model"
    )


class VllmWriter:
    """Implements `seams.Sampler` with a tokenizer alone: the weights are the server's.

    name: of the policy. revision: of its weights, as a loaded model would have it. Raises ModelError
    where the server has others.
    """

    device, num_workers = "cpu", ROWS

    def __init__(
        self,
        name: str,
        server: VllmServer,
        *,
        prompt_format: PromptFormat = "auto",
        trust_remote_code: bool = False,
        status: Callable[[str], None] = lambda text: None,
        rows: int = ROWS,
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        self.name, source = name, source_of(name, status)
        self._held = _found_by(source) if server.reloads else None
        if self._held is not None:
            server.hold(self._held)
        elif not _serves(server, source):
            raise ModelError(_other(server, name, source))
        trusted = {"trust_remote_code": trust_remote_code}
        try:
            with quiet_transformers():
                self.tokenizer: Any = AutoTokenizer.from_pretrained(source, **trusted)
                config = AutoConfig.from_pretrained(source, **trusted)
                try:
                    own: Any = GenerationConfig.from_pretrained(source)
                except OSError:  # most models need none
                    own = GenerationConfig.from_model_config(config)
        except Exception as error:  # as in `load_model`: damaged files raise all kinds of errors
            raise ModelError(load_advice(name, error)) from error
        self.revision = revision_of(source, config)
        self.form = resolve_format(self.tokenizer, prompt_format)
        like: Any = SimpleNamespace(generation_config=own, config=config)
        ends = sorted(ending_tokens(like, self.tokenizer))
        self.texts = VllmTexts(server, self.tokenizer, ends, rows)

    @property
    def identity(self) -> list[str]:
        return [self.revision, self.form, "vllm"]

    def count_tokens(self, text: str) -> int:
        return len(control_tokens(self.tokenizer).ids_of_text(text))

    def sample(
        self,
        prompts: Sequence[Prompt],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        *,
        adapters: Adapters | None = None,
        owners: Sequence[int] | None = None,
        logprobs: bool = False,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """See `seams.Sampler`; log-probabilities are those at temperature 1."""
        if adapters is not None:
            raise ModelError("a policy that only vLLM has loaded cannot be adapted here")
        if any(prompt.pattern for prompt in prompts):
            raise ModelError("texts of vLLM are not constrained here: leave out --constrained")
        if self._held is not None:
            self.texts.server.hold(self._held)
        rendered = [render(self.tokenizer, prompt, self.form) for prompt in prompts]
        nobody = [None] * len(rendered)
        return self.texts.write(rendered, sampling, seeds, nobody, logprobs=logprobs, on_done=on_done)
