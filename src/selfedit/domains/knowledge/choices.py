"""What `directed` self-edits of knowledge choose: their form, their length and their training."""

from __future__ import annotations

from selfedit.domains.choices import Choice, Choosing, number, share
from selfedit.domains.knowledge.directed import FORMS, Form, Head, read_head
from selfedit.domains.knowledge.settings import DirectiveSettings
from selfedit.types import Score


def _form(name: Form) -> Choice[Head]:
    return share(lambda head: head.strategy == name, name)


def choosing(bounds: DirectiveSettings) -> Choosing[Head]:
    """Of edits with these bounds; one whose text is unusable has chosen, too."""
    return Choosing(
        before="own",
        after="seal",
        read=lambda edit: read_head(edit.text, bounds)[0],
        text=Head.text,
        place=lambda head: (head.learning_rate, float(head.epochs)),
        choices=(
            Choice("learning rate", lambda head: head.learning_rate, "{:.3g}".format, log=True),
            Choice("epochs", lambda head: float(head.epochs), number, log=True),
            Choice("statements", lambda head: float(head.statements), "{:.1f}".format),
            *map(_form, FORMS),
        ),
        good=_some_right,
        goodness="with a right answer",
        counted="edits with a valid head",
    )


def _some_right(score: Score | None) -> bool:
    return score is not None and score.value > 0
