"""Many commands on one library at the same time: each answers, none undoes another in silence."""

from __future__ import annotations

import faulthandler
import random

from selfedit.home import STORE
from selfedit.learning.shelf import Shelf
from selfedit.learning.standing import adapter_names
from selfedit.model.fake import FakeModel
from selfedit.store import Store
from tests.faults import ledger
from tests.faults.commands import Running, Setting, run
from tests.faults.libraries import MODEL, learn, left_behind, write_inputs
from tests.faults.torture import TORTURE, only_in_torture

LIB = ("--library", "lib")
BESIDE = (
    learn("Velm"),
    learn("Orro"),
    ["adapters", "rollback", *MODEL, *LIB],
    ["adapters", "delete", "1", *LIB],
    ["adapters", "delete", "2", *LIB],
    ["adapters", "export", "out", "--version", "1", *MODEL, *LIB],
    ["forget", "Orro.md", *MODEL, *LIB],
    ["ask", "What do the lamps of Orro burn?", *MODEL, *LIB],
    ["adapters", "list", *LIB],
)


def _told_after_a_minute() -> None:
    """On standard error, and again each minute: where a command is that waits, or is starved."""
    faulthandler.dump_traceback_later(60, repeat=True)


@only_in_torture
def test_commands_beside_each_other(tmp_path):
    draw = random.Random(1)
    for round_ in range(max(2, TORTURE // 4)):
        folder = tmp_path / str(round_)
        write_inputs(folder)
        here = Setting(cwd=folder, before=_told_after_a_minute)
        assert run(*learn("Orro"), setting=here).code == 0
        running = [Running(args, here) for args in draw.sample(BESIDE, 5)]
        for one in running:
            ended = one.wait(1800)  # all five wait for each other, on whatever share of a core is left
            if "Timeout (" in ended.err:
                ledger.note("waited", f"round {round_}", said=ended.err, seconds=ended.seconds)
            assert not ended.crashed, ended.err
            assert ended.code in (0, 1), ended
        with Store(folder / "lib" / STORE) as store:
            records = {record.version: record for record in store.adapters()}
            current = store.current(FakeModel().revision)  # None, too, where all versions were deleted
        shelf = Shelf(folder / "lib")
        for record in records.values():
            needed = [shelf.adapter(name) for name in adapter_names(record)]
            assert record.status == "deleted" or all(own.is_dir() for own in needed), record
        if current is not None:
            assert current.status == "committed"
            ended = run("ask", "What do the lamps of Orro burn?", *MODEL, *LIB, setting=here)
            assert ended.code == 0, ended.err
        assert not left_behind(folder)
