"""Texts that a vLLM server writes with the weights of a model, and with adapters that it is given."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.config import SamplingSettings
from selfedit.endpoints.batch import Batch, Stopped
from selfedit.endpoints.replies import without_thoughts
from selfedit.endpoints.vllm import VllmServer
from selfedit.endpoints.vllm_http import VllmConnection
from selfedit.errors import EndpointError
from selfedit.model.generate import cut, ending_tokens
from selfedit.model.language_model import LanguageModel
from selfedit.model.prompts import Rendered
from selfedit.seams import Adapters
from selfedit.types import Completion, Prompt, Sample

ROWS = 64  # requests at a time: vLLM itself decides how many it writes together
_SEEDS = 2**63


@dataclass(frozen=True, slots=True)
class _Ask:
    """A text to be written. folder: of the adapter that writes it; None: the bare model does."""

    place: int
    prompt: Rendered
    seed: int
    folder: Path | None


class VllmTexts:
    """Asks a server for texts. ends: ids of tokens that end a reply. rows: requests at a time."""

    def __init__(
        self, server: VllmServer, tokenizer: Any, ends: Sequence[int], rows: int = ROWS
    ) -> None:
        self.server, self.rows = server, rows
        self._tokenizer, self._ends = tokenizer, sorted(ends)

    def write(
        self,
        rendered: Sequence[Rendered],
        sampling: SamplingSettings,
        seeds: Sequence[int],
        folders: Sequence[Path | None],
        *,
        logprobs: bool = False,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        """Completions in the order of the prompts, prompt i by the adapter in folders[i].

        logprobs: of the model's own distribution, as vLLM gives them: at temperature 1, whatever the
        sampling's is. Raises EndpointError; a text that did not come is never an empty one.
        """
        asks = [_Ask(n, *row) for n, row in enumerate(zip(rendered, seeds, folders, strict=True))]
        asks.sort(key=lambda ask: str(ask.folder))  # few adapters at a time
        batch: Batch[_Ask, VllmConnection, Completion] = Batch(
            lambda connection, ask: self._written(batch, connection, ask, sampling, logprobs)
        )
        found: dict[int, Completion] = {}
        lines = [self.server.http.connection() for _ in range(min(self.rows, len(asks)))]
        for ask, completion in batch.run(asks, lines):
            found[ask.place] = completion
            if on_done is not None:
                on_done(1)
        return [found[n] for n in range(len(asks))]

    def _written(
        self,
        batch: Batch[_Ask, VllmConnection, Completion],
        connection: VllmConnection,
        ask: _Ask,
        sampling: SamplingSettings,
        logprobs: bool,
    ) -> Completion:
        if batch.stop.is_set():
            raise Stopped
        body = self._body(ask, sampling, logprobs)
        stops = list(ask.prompt.stops)
        completion = self._asked(connection, body | ({"stop": stops} if stops else {}), ask)
        if stops and not completion.text:  # a first blank line is no end
            completion = self._asked(connection, body, ask)
        return completion

    def _body(self, ask: _Ask, sampling: SamplingSettings, logprobs: bool) -> dict[str, Any]:
        return {
            "prompt": list(ask.prompt.ids),
            "max_tokens": ask.prompt.max_new_tokens or sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": ask.seed % _SEEDS,
            "stop_token_ids": self._ends,
            "return_token_ids": True,
            **({"logprobs": 0} if logprobs else {}),
        }

    def _asked(self, connection: VllmConnection, body: dict[str, Any], ask: _Ask) -> Completion:
        connection.close()  # an idle one may have been closed at the other end
        data = self.server.write(connection, body, ask.folder)
        try:
            choice = json.loads(data)["choices"][0]
            drawn = tuple(int(token) for token in choice["token_ids"])
            values = choice["logprobs"]["token_logprobs"] if "logprobs" in body else ()
            ended = choice["finish_reason"] == "stop"
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise EndpointError(
                f"vLLM's reply cannot be read ({type(error).__name__}: {error}): a version from 0.10 "
                "on is needed, which sends the ids of its tokens"
            ) from error
        return self._completion(drawn, tuple(map(float, values)), ended, ask.prompt.stops)

    def _completion(
        self, drawn: tuple[int, ...], logprobs: tuple[float, ...], ended: bool, stops: Sequence[str]
    ) -> Completion:
        """The text as `model.generate` has it; tokens behind what ends it do not count."""
        if stops:
            count = self._up_to(drawn, stops)
            ended = ended or count < len(drawn)
            drawn, logprobs = drawn[:count], logprobs[:count]
        said = self._decoded(drawn)
        text = without_thoughts(cut(said, stops))
        return Completion(text, logprobs, drawn if logprobs else (), ended)

    def _decoded(self, tokens: Sequence[int]) -> str:
        own = [token for token in tokens if token not in self._ends]
        return str(self._tokenizer.decode(own, skip_special_tokens=True))

    def _up_to(self, drawn: Sequence[int], stops: Sequence[str]) -> int:
        for count in range(1, len(drawn) + 1):
            text = self._decoded(drawn[:count]).lstrip()
            if any(stop in text for stop in stops):
                return count
        return len(drawn)


class ThroughVllm(LanguageModel):
    """A model that trains here, and whose texts a vLLM server writes that serves the same weights.

    Adapters are written to folders that the server reads, and are taken from it when their texts are
    there. Texts with a pattern are written here; so are those of a merged or finetuned copy.

    source: folder or hub id of the weights, which the server is given before it writes; None: it has
    them, and nobody gives it others.
    """

    def __init__(
        self,
        model: LanguageModel,
        server: VllmServer,
        rows: int = ROWS,
        *,
        source: str | None = None,
    ) -> None:
        super().__init__(
            model.hf,
            model.tokenizer,
            name=model.name,
            revision=model.revision,
            form=model.form,
            origin=model.origin,
            engine=model.engine,
            status=model.status,
            reader=model.reader,
        )
        self.server, self.source = server, source
        self.texts = VllmTexts(
            server, self.tokenizer, sorted(ending_tokens(self.hf, self.tokenizer)), rows
        )

    @property
    def identity(self) -> list[str]:
        """Other rounding, and other draws by the same seeds."""
        return [*super().identity, "vllm"]

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
        """See `seams.Sampler`. Log-probabilities at a temperature of their own are read off here, from
        the bare model: vLLM tells those at temperature 1."""
        if any(prompt.pattern for prompt in prompts):
            return super().sample(
                prompts,
                sampling,
                seeds,
                adapters=adapters,
                owners=owners,
                logprobs=logprobs,
                on_done=on_done,
            )
        if self.source is not None:
            self.server.hold(self.source)
        rendered = [self.render(prompt) for prompt in prompts]
        with self._on_disk(adapters, owners, len(prompts)) as folders:
            replies = self.texts.write(
                rendered, sampling, seeds, folders, logprobs=logprobs, on_done=on_done
            )
        if not logprobs or sampling.temperature in (0, 1):
            return replies
        assert adapters is None, "log-probabilities at a temperature are the policy's alone"
        samples = [Sample(p, own, 0.0) for p, own in zip(prompts, replies, strict=True)]
        read = self.sample_logprobs(samples, sampling.temperature)
        return [
            Completion(own.text, values, own.tokens, own.ended)
            for own, values in zip(replies, read, strict=True)
        ]

    @contextmanager
    def _on_disk(
        self, adapters: Adapters | None, owners: Sequence[int] | None, count: int
    ) -> Iterator[list[Path | None]]:
        """The folder of each prompt's adapter, while its texts are written."""
        if adapters is None:
            yield [None] * count
            return
        read = self.reading(adapters)
        assert owners is not None, "which adapter writes which text"
        shelf = Path(tempfile.mkdtemp(prefix="selfedit-vllm-"))
        folders = {k: shelf / f"{k}" for k in sorted(set(owners))}
        try:
            for k, folder in folders.items():
                self.save_adapter(read, k, folder)
            yield [folders[k] for k in owners]
        finally:
            for folder in folders.values():
                with suppress(EndpointError):  # what failed before is the error to show
                    self.server.forget(folder)
            shutil.rmtree(shelf, ignore_errors=True)
