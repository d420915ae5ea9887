"""What the self-edits of ARC choose: augmentations, loss, learning rate and epochs."""

from __future__ import annotations

from selfedit.domains.arc.self_edit import ArcSelfEdit, parse_self_edit
from selfedit.domains.arc.settings import ArcBounds
from selfedit.domains.choices import Choice, Choosing, number, share
from selfedit.domains.conditions import solves

_GROUPS = ("basic", "size", "chain", "repeat")


def _group(name: str) -> Choice[ArcSelfEdit]:
    return share(lambda edit: name in edit.groups, f"{name} augmentations")


def choosing(bounds: ArcBounds) -> Choosing[ArcSelfEdit]:
    """Of edits with these bounds; one over the step limit has chosen, too."""
    return Choosing(
        before="ttt",
        after="seal",
        read=lambda edit: parse_self_edit(edit.text, bounds),
        text=ArcSelfEdit.text,
        place=lambda edit: (edit.learning_rate, float(edit.num_train_epochs)),
        choices=(
            Choice("learning rate", lambda edit: edit.learning_rate, "{:.3g}".format, log=True),
            Choice("epochs", lambda edit: float(edit.num_train_epochs), number, log=True),
            *map(_group, _GROUPS),
            Choice("groups of augmentations", lambda edit: float(len(edit.groups)), "{:.2f}".format),
            share(lambda edit: edit.supervise == "all", "loss on all tokens"),
        ),
        good=solves,
        goodness="solved",
    )
