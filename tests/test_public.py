"""What `import selfedit` gives, as the README has it."""

from __future__ import annotations

from pathlib import Path

import selfedit
from selfedit.model.fake import FakeModel


def test_a_document_is_learned_in_a_few_lines(tmp_path):
    library = selfedit.Library(FakeModel(), folder=tmp_path / "library")
    notes = selfedit.text_document("# Owls\n\nThe Hask owl eats blue moths.\n", source="owls")
    result = selfedit.learn(library, notes, settings=selfedit.LearnSettings(candidates=2))
    assert isinstance(result, selfedit.LearnResult)
    assert result.committed
    assert "blue moths" in Path(result.report_path).read_text(encoding="utf-8")
    assert "blue moths" in library.ask("What does the Hask owl eat?")[0]


def test_everything_that_is_named_is_there():
    assert all(getattr(selfedit, name) is not None for name in selfedit.__all__)
