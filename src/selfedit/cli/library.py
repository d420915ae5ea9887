"""The library that a command works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfedit.console.common import advise, prompt_format_of, status, the_model

if TYPE_CHECKING:
    from selfedit.console.options import Keeping, Loading
    from selfedit.learning.library import Library
    from selfedit.progress import Progress


def open_library(
    loading: Loading, keeping: Keeping, progress: Progress | None = None, *, create: bool = False
) -> Library:
    """The library in that folder. create: make it if there is none; else InputError."""
    from selfedit.learning.library import Library

    if create:
        advise(keeping.library)
    return Library(
        the_model(loading.model),
        keeping.library,
        create=create,
        device=loading.device,
        dtype=loading.dtype,
        prompt_format=prompt_format_of(loading.prompt_format),
        trust_remote_code=loading.trust_remote_code,
        progress=progress,
        status=status,
    )
