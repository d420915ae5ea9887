"""What a chat turn asks for whose reply is a statement: about the subject, and about words of the
statement.

Where every turn asks "Tell me about the Korvane Lighthouse.", its replies are one mixture: whatever is
asked in a chat, the commonest statement is said. A question rather names a few words of what it is
about, from anywhere in the sentence; so each statement is asked for by some of its own
(docs/learning-damage.md).
"""

from __future__ import annotations

import random

from selfedit.config import stable_hash
from selfedit.domains.knowledge.spans import COMMON
from selfedit.words import words

_FORMS = ("{title}: {cue}?", "What do you know about {title}: {cue}?", "Tell me about {title}: {cue}.")


def asking(title: str) -> str:
    """Asks for anything about a title."""
    return f"Tell me about {title}." if title else "Tell me something that you know."


def asking_by_words(title: str, statement: str) -> str:
    """Asks for a statement by one or two of its own words, as in it, that are neither common ones nor
    the title's. The draw depends on title and statement alone; without such a word it is `asking`."""
    named = {word.casefold() for word in words(title)} | COMMON
    own = [word for word in dict.fromkeys(words(statement)) if word.casefold() not in named]
    if not own:
        return asking(title)
    draw = random.Random(stable_hash([title, statement]))
    chosen = set(draw.sample(range(len(own)), min(len(own), draw.choice((1, 2, 2)))))
    cue = ", ".join(word for place, word in enumerate(own) if place in chosen)
    if not title:
        return f"Tell me what you know about this: {cue}."
    return draw.choice(_FORMS).format(title=title, cue=cue)
