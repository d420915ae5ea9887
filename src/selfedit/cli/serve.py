"""`selfedit serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from selfedit.console import options
from selfedit.console.common import status
from selfedit.console.groups import grouped
from selfedit.errors import InputError
from selfedit.home import expanded

_MOST_KEY = 65_536  # bytes of its file
_MOST_MB = 100_000  # of a request
_VLLM_URL = "http://127.0.0.1:8000"


@grouped
def serve(
    loading: options.Loading,
    keeping: options.Keeping,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach it only with an API key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8321,
    api_key_file: Annotated[
        Path | None,
        typer.Option(help="File with the key that clients must send; or $SELFEDIT_API_KEY."),
    ] = None,
    adapter_folder: Annotated[
        list[Path] | None,
        typer.Option(help="Allow /v1/load_lora_adapter for PEFT folders below this one; repeatable."),
    ] = None,
    max_rows: Annotated[
        int, typer.Option(min=1, help="Texts that are written together; more wait.")
    ] = 32,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="Largest request in MB.")] = 64.0,
    learning_share: Annotated[
        float,
        typer.Option(min=0.05, max=1.0, help="Time that learning takes while answers are written."),
    ] = 0.5,
    engine: Annotated[
        str, typer.Option(help="Who writes answers: own (this process), or a running vllm server.")
    ] = "own",
    vllm_url: Annotated[
        str | None,
        typer.Option(
            help=f"Address of that server, which serves the same weights (default: {_VLLM_URL})."
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Serve the library: an OpenAI-compatible API, the native one, and a page.

    \b
    selfedit serve                                   on http://127.0.0.1:8321
    selfedit serve --host 0.0.0.0 --api-key-file key.txt
    curl http://127.0.0.1:8321/v1/models
    """
    from selfedit.serve.settings import ServeSettings

    if not max_body_mb <= _MOST_MB:  # NaN is neither more nor less
        raise InputError(f"--max-body-mb {max_body_mb}: use a number up to {_MOST_MB:,}")
    if engine not in ("own", "vllm"):
        raise InputError(f"--engine {engine}: use own or vllm.")
    if engine == "own" and vllm_url is not None:
        raise InputError("--vllm-url: add --engine vllm.")
    settings = ServeSettings(
        host=host,
        port=port,
        api_key=_key(api_key_file),
        max_body=int(max_body_mb * 1e6),
        max_rows=max_rows,
        adapter_folders=tuple(adapter_folder or ()),
        learning_share=learning_share,
        vllm_url=(vllm_url or _VLLM_URL) if engine == "vllm" else None,
    )
    try:
        from selfedit.serve.run import run
    except ImportError as error:
        raise InputError(
            f"serving needs a package ({error.name}): pip install 'selfedit[serve]'"
        ) from None
    run(loading.load, keeping.folder, settings, status)


def _key(file: Path | None) -> str | None:
    if file is None:
        given = os.environ.get("SELFEDIT_API_KEY") or None
        if given is not None and not given.strip():
            raise InputError("the environment variable SELFEDIT_API_KEY holds no key, but blanks")
        return given and given.strip()
    try:
        with expanded(file).open("rb") as opened:  # it may be a pipe
            key = opened.read(_MOST_KEY).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--api-key-file {file} cannot be read: {error}") from error
    if not key:
        raise InputError(f"--api-key-file {file} is empty")
    return key
