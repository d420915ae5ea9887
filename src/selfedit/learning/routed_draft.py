"""The draft of a routed memory: each passage keeps the adapter that won its trials; nothing is trained
again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.domains.knowledge.settings import LearnSettings
from selfedit.errors import SelfEditError
from selfedit.learning.draft import Draft
from selfedit.learning.material import (
    Material,
    added_documents,
    learned_documents,
    older_documents,
    with_older_passages,
)
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import Standing, named
from selfedit.learning.workbench import Workbench
from selfedit.progress import Progress, by_steps
from selfedit.store import AdapterRecord, LearnedDocument, Store
from selfedit.types import Group, TrainingPlan

# Passages whose adapters are trained together where those of their trials are gone.
_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class RoutedDrafts:
    """Makes drafts of a library. workbench: has the adapters of the trials."""

    standing: Standing
    workbench: Workbench
    store: Store
    settings: LearnSettings
    progress: Progress

    def draft(
        self,
        material: Material,
        groups: Sequence[Group],
        plans: Mapping[str, TrainingPlan | None],
        parent: AdapterRecord | None,
    ) -> Draft | None:
        """What was kept, beside everything that the parent holds; None if no self-edit was kept. Raises
        SelfEditError."""
        new = learned_documents(material, plans)
        if not any(document.sequences for document in new):
            return None
        names = self._published(groups, plans)
        own = [
            _with_adapters(document, group_ids, names) for document, group_ids in _tasks(new, material)
        ]
        older = older_documents(parent, new)
        if parent is not None:
            older = named(older, Shelf.own(parent.version))
            own = with_older_passages(own, named(parent.documents, Shelf.own(parent.version)))
        added = added_documents(older, own)
        answering = self.standing.routed(
            (*older, *added), self.settings.adapters_per_question, router=self.settings.router
        )
        losses = self._losses(list(names.values()))
        return Draft(tuple(older), added, parent, answering, losses=losses)

    def _published(
        self, groups: Sequence[Group], plans: Mapping[str, TrainingPlan | None]
    ) -> dict[str, str]:
        """The adapter of each passage with a kept self-edit, by the passage's id: it lies in the
        library now."""
        names = {
            group.task.id: group.candidates[group.kept[0]].trials[0] for group in groups if group.kept
        }
        missing = {
            key: plan
            for task, key in names.items()
            if (plan := plans[task]) is not None
            and not self.workbench.publish(key, self.standing.shelf.adapter(key))
        }
        keys = list(missing)
        for at in range(0, len(keys), _TOGETHER):
            self._train({key: missing[key] for key in keys[at : at + _TOGETHER]})
        return names

    def _train(self, plans: Mapping[str, TrainingPlan]) -> None:
        """Once more, where the trials ran without their adapters being kept, or for fewer epochs."""
        self.progress.start("training the adapters of passages", 100)
        adapters, records = self.standing.model.train(
            list(plans.values()),
            self.settings.lora,
            self.settings.train,
            [self.settings.seed] * len(plans),
            on_step=by_steps(self.progress, 100),
        )
        for k, (key, record) in enumerate(zip(plans, records, strict=True)):
            if record.failure:
                raise SelfEditError(
                    f"a passage's adapter could not be trained: {record.failure}. Try a lower "
                    "--learning-rate. All finished trials are kept."
                )
            self.standing.model.save_adapter(adapters, k, self.standing.shelf.adapter(key))

    def _losses(self, keys: Sequence[str]) -> tuple[float, ...]:
        """Of the only passage's training; several have no common course."""
        return self.store.trials(keys)[keys[0]].losses if len(keys) == 1 else ()


def _tasks(
    documents: Sequence[LearnedDocument], material: Material
) -> list[tuple[LearnedDocument, list[str]]]:
    """Each document with the ids of its passages."""
    ids = [[task.id for task in own] for own in material.passages.by_document]
    return list(zip(documents, ids, strict=True))


def _with_adapters(
    document: LearnedDocument, ids: Sequence[str], names: Mapping[str, str]
) -> LearnedDocument:
    passages = tuple(
        replace(passage, adapter=names[task]) if passage.sequences else passage
        for passage, task in zip(document.passages, ids, strict=True)
    )
    return replace(document, passages=passages)
