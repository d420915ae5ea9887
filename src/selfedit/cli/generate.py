"""`selfedit generate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfedit.console import options
from selfedit.console.common import err, one_of, out, print_json, prompt_format_of, warn
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.domains.knowledge.options import Directed, read_prompt

if TYPE_CHECKING:
    from selfedit.corpus.generate import Generated
    from selfedit.domains.knowledge.settings import LearnSettings

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Documents: files, folders, globs; or contexts: JSON lines, parquet, a dataset id. "
        "Repeatable.",
    ),
]
Out = Annotated[
    Path,
    typer.Option("--out", help="File of JSON lines (.jsonl), else a folder: a Hugging Face data set."),
]


@grouped
def generate(
    data: Data,
    out_path: Out,
    loading: options.Loading,
    sampling: options.Sampling,
    keeping: options.Keeping,
    directed: Directed,
    prompt_file: Annotated[
        Path | None,
        typer.Option(help="Your own instruction; {title} and {context} are filled in."),
    ] = None,
    restatements: Annotated[
        int | None, typer.Option(help="`sentences`: restatements of each sentence.")
    ] = None,
    passage_words: Annotated[
        int | None, typer.Option(help="Documents are split into passages of so many words.")
    ] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Self-edits written for each passage.")
    ] = 1,
    temperature: options.Temperature = None,
    max_new_tokens: options.MaxNewTokens = None,
    seed: options.Seed = None,
    form: Annotated[
        str, typer.Option("--as", help="Lines with a text, or with the messages of a chat.")
    ] = "text",
    with_passages: Annotated[
        bool, typer.Option("--with-passages", help="Make the passages lines, too.")
    ] = False,
    max_tokens_total: Annotated[
        int | None, typer.Option(min=1, help="Budget: tokens of all lines together, at most.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N passages only.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that write side by side, each with its own policy.")
    ] = 1,
    tracker: options.Tracker = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Write a corpus: the policy's self-edits for whole folders of documents, one text a line.

    A trained policy (--model FOLDER) writes fresh training data for any trainer. Each line names its
    document, passage, strategy and policy. Texts that are there already are left out. Killed and
    started again, it goes on where it was, with the same lines; so it does with more documents behind
    the others, or a larger budget.

    \b
    selfedit generate --data papers/ --out corpus.jsonl
    selfedit generate --data papers/ --out corpus.jsonl --model policies/round-2 --workers 4
    selfedit generate --data squad.json --out corpus/ --as messages --strategy self-qa
    selfedit generate --data "notes/*.md" --out corpus.jsonl --max-tokens-total 1000000
    selfedit generate --data papers/ --out corpus.jsonl --sampler vllm --vllm-url http://127.0.0.1:8000
    """
    from selfedit.corpus.workers import Policy
    from selfedit.experiments import generate as run
    from selfedit.loops.tracking import Trackers

    one_of("--as", form, ("text", "messages"))
    given = {
        "candidates": candidates,
        "seed": seed,
        "sampling": {"temperature": temperature, "max_new_tokens": max_new_tokens},
        "knowledge": {
            **directed.given()["knowledge"],
            "strategy": directed.strategy or ("implications" if prompt_file else None),
            "prompt_text": read_prompt(prompt_file),
            "restatements": restatements,
            "passage_words": passage_words,
        },
    }
    settings = _settings(given)
    policy = Policy(
        loading.model,
        loading.device,
        loading.dtype,
        prompt_format_of(loading.prompt_format),
        loading.trust_remote_code,
        sampling.address,
    )
    trackers = Trackers(tracker or (), keeping.folder / "tracking", settings, warn)
    with RichProgress(err) as progress:
        found = run(
            data,
            policy,
            settings,
            out_path,
            keeping.store(),
            workers=workers,
            messages=form == "messages",
            with_passages=with_passages,
            budget=max_tokens_total,
            limit=limit,
            progress=progress,
            on_chunk=lambda done: trackers.log(_numbers(asdict(done)), step=done.passages),
        )
    trackers.close()
    if as_json:
        print_json(found.summary())
    else:
        _print(found)


def _settings(given: dict[str, Any]) -> LearnSettings:
    from selfedit.console.settings import checked, given_only
    from selfedit.domains.knowledge.settings import LearnSettings

    return checked(LearnSettings, given_only(given))


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def _print(found: Generated) -> None:
    from selfedit.report.generate_run import sentences

    for sentence in sentences(found.summary()):
        out.print(sentence, soft_wrap=True, markup=False, highlight=False)
