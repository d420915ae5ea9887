"""`selfedit generate` as a function: a corpus as a file or a data set, recorded as a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from selfedit.corpus.folder import FILE, own_card, write_card
from selfedit.corpus.generate import Corpus, Generated
from selfedit.corpus.ledger import Done
from selfedit.corpus.passages import Passages
from selfedit.corpus.workers import Here, Policy, Processes, Workers
from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.home import expanded
from selfedit.loops.pulse import Watched
from selfedit.loops.runs import recorded_run
from selfedit.progress import Progress
from selfedit.seams import Model, PolicyRef
from selfedit.store import Store


def corpus_settings(settings: LearnSettings, *, messages: bool = False) -> LearnSettings:
    """The settings as lines of a corpus need them: each statement a text, or a reply in a chat."""
    own = {"form": "turn" if messages else "text", "ends": False, "neighbours": 0}
    return settings.model_copy(update={"knowledge": settings.knowledge.model_copy(update=own)})


def generate(
    data: Sequence[str],
    policy: Model | Policy,
    settings: LearnSettings,
    out: Path,
    store: Store,
    *,
    workers: int = 1,
    messages: bool = False,
    with_passages: bool = False,
    budget: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
    on_chunk: Callable[[Done], None] = lambda done: None,
) -> Generated:
    """Self-edits of a policy for every passage of documents and data sets, as lines that trainers read.

    Killed and called again, it goes on where it was, and the lines are the same; so are they with any
    number of workers. A text that the corpus has already, but for case, punctuation and spacing, is
    left out.

    data: files, folders, globs; rows of contexts (JSON, parquet, data sets). policy: a model, or where
    it is: each worker loads its own. out: a file that ends in .jsonl or .json, else the folder of a
    Hugging Face data set. messages: lines are chats. with_passages: the passages become lines, too.
    budget: tokens of all lines, at most. limit: of passages, the first so many. on_chunk: told what is
    on the disk. Raises InputError for documents and files that cannot be used, SelfEditError.
    """
    own = corpus_settings(settings, messages=messages)
    out = expanded(out)
    is_file = out.suffix.lower() in (".jsonl", ".json")
    file = out if is_file else out / FILE
    without = () if is_file else (own_card(out),)
    passages = Passages(data, own.knowledge.passage_words, limit, without=without)
    staff = _staff(policy, own, workers)
    watched = Watched(progress)
    watched.workers = lambda: staff.count
    inputs = {
        "data": list(data),
        "out": str(out),
        "workers": staff.count,
        "budget": budget,
        "limit": limit,
        "with_passages": with_passages,
    }
    try:
        with recorded_run(
            store, "generate", PolicyRef(staff.name, staff.revision), own, inputs, watched
        ) as run:
            corpus = Corpus(
                passages,
                staff,
                own,
                file,
                whole=with_passages,
                budget=budget,
                progress=watched,
                on_chunk=on_chunk,
            )
            found = corpus.run()
            if not is_file:
                write_card(out, found, messages=messages)
            run.result = found.summary()
    finally:
        staff.close()
    return found


def _staff(policy: Model | Policy, settings: LearnSettings, workers: int) -> Workers:
    if not isinstance(policy, Policy):
        return Here(policy, policy.revision, settings)
    if policy.vllm_url is not None:  # it writes many texts together by itself
        writer = policy.writer()
        return Here(writer, writer.revision, settings)
    if workers > 1:
        return Processes(policy, settings, workers)
    model = policy.load()
    return Here(model, model.revision, settings)
