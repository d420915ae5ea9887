"""An agent that learns from a mistake: a loop with one tool, and a library for a memory.

    python examples/agent.py "Fetch the pump of Orro."                 # it opens the wrong bay
    python examples/agent.py "Fetch the pump of Orro." --correct "The pump of Orro is in bay nine."
    python examples/agent.py "Fetch the pump of Orro."                 # a new process: it remembers

The model has no list of what is where. It is asked, names a bay, and the tool opens it; what the tool
finds is the outcome. A correction is recorded with the conversation, and learned: the model writes its
own training text, and its weights change if that makes it answer right. docs/agents.md has a run.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path

from selfedit.agents.interactions import Feedback, Interaction, Turn
from selfedit.agents.remembering import Remembered, record, remember
from selfedit.console.common import the_model
from selfedit.learning.library import Library

BAYS = {"two": "a ladder", "four": "a crate of lamps", "seven": "dust", "nine": "the pump of Orro"}
STEPS = 2  # bays that it may open before it gives up


def open_bay(name: str) -> str:
    """The tool: what lies in a bay."""
    return BAYS.get(name, "nothing, for there is no such bay")


@dataclass
class Agent:
    """Fetches things. library: what it has learned so far. turns: the conversation of this task."""

    library: Library
    turns: list[Turn] = field(default_factory=list)

    def fetch(self, thing: str) -> bool:
        """Ask the model, open what it names, look; whether the thing was there."""
        asked = f"In which bay is {thing}?"
        for _ in range(STEPS):
            self._says("user", asked)
            (answer,) = self.library.ask(asked)
            self._says("assistant", answer)
            found = open_bay(bay_of(answer))
            self._says("tool", f"open_bay({bay_of(answer)!r}) -> {found}")
            if found == thing:
                return True
            asked = f"There is {found}. In which bay is {thing}?"
        return False

    def corrected(self, text: str) -> Remembered:
        """Learn what a person said after a task that failed. It is recorded before it is learned."""
        first = next(turn for turn in self.turns if turn.role == "user")
        reply = next(turn for turn in self.turns if turn.role == "assistant")
        current = self.library.current()
        version = current.version if current is not None else None
        interaction = Interaction((first, reply), Feedback("correction", text, good=False), version)
        return remember(self.library, record(self.library, interaction))

    def _says(self, role: str, text: str) -> None:
        self.turns.append(Turn(role, text))  # type: ignore[arg-type]
        print(f"{role:>9}: {text}")


def bay_of(answer: str) -> str:
    """The bay that an answer names; its first words if it names none."""
    named = re.search(rf"\b({'|'.join(BAYS)})\b", answer.lower())
    return named.group() if named else " ".join(answer.split()[:4])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("task", help='such as "Fetch the pump of Orro."')
    parser.add_argument("--correct", default="", help="what to tell it if it fails")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--library", type=Path, default=Path("agent-library"))
    given = parser.parse_args()
    agent = Agent(Library(the_model(given.model), given.library))
    done = agent.fetch(given.task.removeprefix("Fetch ").rstrip("."))
    print("     task:", "done" if done else "failed")
    if given.correct and not done:
        print("   person:", given.correct)
        learned = agent.corrected(given.correct)
        print("  learned:", f"version {learned.version}" if learned.committed else "nothing")
        print("           ", learned.reason)
        for question in learned.questions:
            print(f"            {question.question} {question.before!r} -> {question.after!r}")


if __name__ == "__main__":
    main()
