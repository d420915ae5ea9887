"""`selfedit chat`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from selfedit.cli.library import open_library
from selfedit.console import options
from selfedit.console.common import err, out, standard_input
from selfedit.console.groups import grouped
from selfedit.console.progress import RichProgress
from selfedit.errors import InputError, SelfEditError
from selfedit.home import shortened

if TYPE_CHECKING:
    from selfedit.agents.chat import Chat
    from selfedit.agents.remembering import Remembered

HELP = """\
/remember TEXT  learn TEXT: what is right about the last answer, or a note
/undo           take back what was remembered last
/why            where the last answer came from
/help           this
/quit           leave (Ctrl-D does, too)

Everything else is said to the model."""
_PROMPT = "> "


@grouped
def chat(loading: options.Loading, keeping: options.Keeping, quiet: options.Quiet = False) -> None:
    """Talk to the model, correct it, and have it remember.

    `/remember` learns a correction as `selfedit learn` learns a document: the model writes its own
    training text, and the new version is kept only if it answers right and broke little. Without a
    terminal, each line of stdin is a message, and each answer a line of stdout.
    """
    from selfedit.agents.chat import Chat

    session = Session(Chat(open_library(loading, keeping, create=True)))
    session.run()
    if session.failed and not session.is_terminal:
        raise typer.Exit(1)


class Session:
    """A chat at a terminal or a pipe. failed: whether any command was refused."""

    def __init__(self, chat: Chat) -> None:
        self.chat, self.failed = chat, False
        self.input = standard_input()
        self.is_terminal = self.input.isatty()
        self.commands: dict[str, Callable[[str], None]] = {
            "/remember": self._remember,
            "/undo": self._undo,
            "/why": self._why,
            "/help": lambda rest: _say(HELP),
        }

    def run(self) -> None:
        """Until /quit or the end of input."""
        if self.is_terminal:
            _note(f"{self.chat.library.model.name}; /help says what else can be done")
        if waiting := len(self.chat.waiting()):
            _note(f"recorded corrections that are not learned yet: {waiting}; /remember learns them")
        for line in self._lines():
            if line == "/quit":
                return
            self._do(line)

    def _do(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        try:
            if name in self.commands:
                self.commands[name](rest.strip())
            elif name.startswith("/") and name[1:].isalpha():
                raise InputError(f"there is no {name}; /help says what there is")
            else:
                _say(self.chat.say(line) or "(no answer)")
        except SelfEditError as error:
            self._refuse(str(error))
        except KeyboardInterrupt:
            if not self.is_terminal:
                raise
            _note("Stopped. What was recorded is kept: /remember goes on with it.")

    def _lines(self) -> Iterator[str]:
        """What is typed, without empty lines. Ctrl-C at the prompt drops the line."""
        if self.is_terminal:
            import contextlib

            with contextlib.suppress(ImportError):  # not on Windows
                import readline  # noqa: F401 (history and editing of lines)
        while True:
            try:
                line = input(_PROMPT) if self.is_terminal else next(self.input)
            except (EOFError, StopIteration):
                return
            except KeyboardInterrupt:
                if not self.is_terminal:
                    raise
                _note("\n/quit or Ctrl-D leaves")
                continue
            if line := line.strip():
                yield line

    def _remember(self, text: str) -> None:
        from selfedit.agents.memo import what_is_right

        waiting = [] if text else self.chat.waiting()
        if not waiting:
            self._learn(lambda: self.chat.remember(text))
        for own in waiting:
            try:
                self._learn(partial(self.chat.remember_waiting, own))
            except SelfEditError as error:  # the others have their turn
                said = shortened(what_is_right(own.interaction))
                self._refuse(f'"{said}" was left out: {error}')

    def _learn(self, work: Callable[[], Remembered]) -> None:
        with RichProgress(err) as progress:
            self.chat.library.progress = progress
            done = work()
        _tell(done)

    def _refuse(self, why: str) -> None:
        self.failed = True
        err.print(f"Error: {why}", style="red", markup=False, highlight=False, soft_wrap=True)

    def _undo(self, rest: str) -> None:
        own, now = self.chat.undo()
        outcome = own.outcome or {}
        current = "the bare model" if now is None else f"version {now.version}"
        _say(f'Taken back: "{outcome.get("remembered", "")}"')
        _say(f"{current[0].upper()}{current[1:]} is current.")

    def _why(self, rest: str) -> None:
        why = self.chat.why()
        version = "the bare model" if why.version is None else f"version {why.version}"
        _say(f"{version[0].upper()}{version[1:]} answered.")
        if not why.sources:
            _say("The question concerns nothing that was learned.")
        for source in why.sources:
            _say(f"It concerns {source.document.title} ({source.document.source}):")
            _say(f"  {' '.join(source.passage.context.split())[:400]}")


def _tell(done: Remembered) -> None:
    if done.committed:
        _say(f'Remembered as version {done.version}: "{done.memo.text}"')
    else:
        _say(f'Not remembered, the model stays as it was: "{done.memo.text}"')
    _say(f"  {done.reason}")
    if done.replaced:
        _say(f'  It takes the place of "{done.replaced}"')
    for note in done.notes:
        _note(f"  {note}")


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _note(text: str) -> None:
    err.print(Text(text, style="dim"), soft_wrap=True)
