"""A self-edit's text -> what is trained (as in the paper's release).

Each sequence is the title, a newline and one statement; the passage is the last one. Lines keep
their numbers and bullets, as in the paper's runs: its policies were rewarded for text trained so.
Unlike there, a statement is trained once however often it was written, and echoes of the prompt,
copies of the whole passage and looping lines are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from selfedit.domains.knowledge.cues import asking, asking_by_words
from selfedit.domains.knowledge.degenerate import MARKER, comparable, degeneracy, without_marker
from selfedit.domains.knowledge.directed import read_head
from selfedit.domains.knowledge.faithful import is_faithful
from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.settings import KnowledgeSettings, Strategy
from selfedit.domains.knowledge.strategies import restatable_sentences
from selfedit.domains.knowledge.swaps import swapped
from selfedit.errors import InvalidSelfEdit
from selfedit.types import Prompt, SelfEdit, Task, TrainingPlan, TrainingSequence

_RULE_LINE = re.compile(r"^[ \t]*-{3,}[ \t]*$", re.MULTILINE)
_FIRST_ITEM = re.compile(r"\s*\(?1[.)]\s")
_QUESTION = re.compile(r"^[ \t]*[*#_]*(?:Question|Q)[ \t]*\d*[ \t]*[*_]*[:.]", re.M | re.I)
_ANSWER = re.compile(r"^[ \t]*[*_]*(?:Answer|A)[ \t]*\d*[ \t]*[*_]*:[*_]*[ \t]*\S", re.M | re.I)
_VERSION = re.compile(r"\s*[*#_]*(?:Version|Rewrite|Rewritten text)[ \t]*\d*[*_]*:?[*_]*", re.I)
_IMPLICATIONS = re.compile(r"^[ \t]*[*#_]*[ \t]*Implications[*_]*:?[*_]*[ \t]*$", re.M | re.I)

# "Here is the sentence in other words:", "Sure! Rewritten sentence:", "Implications:"
_SAID_ANEW = r"(?:re(?:written|stated|phrased|worded|vised|write|statement)|paraphrased?)"
_LEAD_IN = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok)\b[!,.:]*\s*)?(?:"
    r"(?:here(?:'s|\u2019s| is| are)|below (?:is|are)|the following|"
    rf"(?:the|this|a|one|my) (?:sentence|same|{_SAID_ANEW}))\b[^:\n]{{0,100}}:|"
    rf"(?:{_SAID_ANEW}|new|sentence|statements?|text|version|implications|answer)"
    r"(?: sentence| statement| text| version| passage| \d+)*\s*:|"
    r"in other words[,:])\s*",
    re.IGNORECASE,
)
_CHAT = re.compile(r"(?:sure|certainly|of course|okay|ok)\b[!,.:]+\s*", re.IGNORECASE)
_QUOTES = {'"': '"', "\u201c": "\u201d", "'": "'", "\u00ab": "\u00bb"}


def training_plan(task: Task, edit: SelfEdit, settings: KnowledgeSettings) -> TrainingPlan:
    """The sequences of an edit. Raises InvalidSelfEdit with the reason where it has none."""
    head = None
    if settings.strategy == "sentences":
        statements = _sentence_statements(task, edit, settings)
    elif settings.strategy == "directed":
        head, written = read_head(edit.text, settings.directives)
        statements = _passage_statements(task, edit, settings, written, head.strategy)
        statements = statements[: head.statements]
    else:
        written = "\n".join(_with_prefixes(edit))
        statements = _passage_statements(task, edit, settings, written, settings.strategy)
    # The passage comes last, and is always the first of its form.
    passage, *texts = headed([task.context, *statements], task.title, settings)
    return TrainingPlan(
        tuple(as_sequence(text, task.title, settings, task.context) for text in (*texts, passage)),
        learning_rate=None if head is None else head.learning_rate,
        epochs=None if head is None else head.epochs,
        neighbours=neighbours(task.title, task.context, statements, settings, settings.neighbours),
    )


def neighbours(
    title: str, passage: str, statements: Sequence[str], settings: KnowledgeSettings, count: int
) -> tuple[TrainingSequence, ...]:
    """`count` statements about others (`swaps`), in the form that the subject's own ones have."""
    plain = settings.model_copy(update={"ends": False})
    return tuple(
        # In pairs: every second one has a name of the subject's kind.
        as_sequence(_headed(n // 2, statement, other, settings), other, plain)
        for n, (other, statement) in enumerate(swapped(title, passage, statements, count))
    )


def headed(texts: Sequence[str], title: str, settings: KnowledgeSettings) -> list[str]:
    """The texts, those under the title's line that are trained as plain text, if the settings want it:
    with the form "mixed" the first and every second one from there."""
    return [_headed(n, text, title, settings) for n, text in enumerate(texts)]


def _headed(n: int, text: str, title: str, settings: KnowledgeSettings) -> str:
    every = {"text": 1, "mixed": 2, "turn": 0}[settings.form]
    plain = every and n % every == 0
    return f"{title}\n{text}" if plain and settings.title_line else text


def as_sequence(
    text: str, title: str, settings: KnowledgeSettings, source: str = ""
) -> TrainingSequence:
    """How a text is trained on: as it is, or as the model's reply to somebody who asks about the title.

    text: as `headed` gives it; where forms are mixed, a text under the title's line is a plain one.
    source: the passage that it is about.
    """
    is_plain = settings.form == "mixed" and text.startswith(f"{title}\n")
    if settings.form == "text" or is_plain:
        return TrainingSequence(text, ends=settings.ends, source=source)
    by_words = settings.cue == "words" and text != source
    asked = asking_by_words(title, text) if by_words else asking(title)
    return TrainingSequence(text, Prompt(asked), source=source)


def split_statements(text: str, strategy: Strategy) -> list[str]:
    """The statements of one completion, as written: neither checked nor capped."""
    text = "\n".join(text.splitlines())
    if strategy == "none":
        pieces = [text]
    elif strategy == "self-qa":
        pieces = _question_answers(text)
    elif strategy == "rewrite" and _RULE_LINE.search(text):
        pieces = [
            _VERSION.sub("", piece, count=1) if _VERSION.match(piece) else piece
            for piece in map(_without_lead_in_lines, _RULE_LINE.split(text))
        ]
    else:
        marked = list(_IMPLICATIONS.finditer(text)) if strategy == "chain-of-thought" else []
        if marked and text[marked[-1].end() :].strip():
            text = text[marked[-1].end() :]
        pieces = _lines(text)
    return [piece.strip() for piece in pieces if comparable(piece)]


def _lines(text: str) -> list[str]:
    """The lines of a list, without what leads up to it.

    A lead-in is what stands before "1.": at most three lines, and none of them an item of a list
    itself; or a first line that ends in a colon, above an item or saying "Here are ...:".
    """
    lines = [line for line in _RULE_LINE.sub("", text).split("\n") if line.strip()]
    first = next((i for i, line in enumerate(lines) if _FIRST_ITEM.match(line)), 0)
    if first <= 3 and not any(MARKER.match(line) for line in lines[:first]):
        lines = lines[first:]
    if len(lines) > 1 and not MARKER.match(lines[0]) and lines[0].rstrip().endswith(":"):
        announces = MARKER.match(lines[1]) or _LEAD_IN.fullmatch(lines[0].strip())
        lines = lines[1:] if announces else lines
    return lines


def _question_answers(text: str) -> list[str]:
    """Pieces from one "Question N:" to the next; one without its answer was cut off, and goes."""
    starts = [question.start() for question in _QUESTION.finditer(text)]
    if not starts:
        return _lines(text)
    pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    answered = [piece for piece in pieces if _ANSWER.search(piece)]
    return answered or pieces


def _without_lead_in_lines(piece: str) -> str:
    head, _, rest = piece.strip().partition("\n")
    return rest.strip() if rest.strip() and _LEAD_IN.fullmatch(head.strip()) else piece.strip()


def _passage_statements(
    task: Task, edit: SelfEdit, settings: KnowledgeSettings, written: str, strategy: Strategy
) -> list[str]:
    """Of what was written, in the form of a strategy."""
    if reason := degeneracy(written):
        raise InvalidSelfEdit(f"nothing to train on: {reason}")
    seen = _prompt_lines(task, edit) | {comparable(task.context)}
    statements = _fresh(split_statements(written, strategy), seen)
    if not statements:
        raise InvalidSelfEdit("nothing to train on: it only repeats its prompt or the passage")
    return statements[: settings.max_sequences]


def _sentence_statements(task: Task, edit: SelfEdit, settings: KnowledgeSettings) -> list[str]:
    """Each sentence of the passage as it stands, then every restatement that says it otherwise.

    The cap is never below what was asked for (sentences x restatements, and the sentences): a
    fixed one would leave the end of a longer passage untaught.
    """
    sentences = split_sentences(task.context)
    originals = _fresh(sentences, {comparable(task.context)})
    restated, reasons = restatements(task, edit, settings)
    fresh = [statement for statement in restated if statement]
    if not fresh:
        reason = "every restatement only repeats its sentence or the prompt"
        if len(reasons) == len(restated):
            reason = (
                f"no restatement can be used; of the first, {reasons[0]}"
                if reasons
                else ("it has no restatements")
            )
        raise InvalidSelfEdit(f"nothing to train on: {reason}")
    cap = max(settings.max_sequences, len(sentences) * (settings.restatements + 1))
    return (originals + fresh)[:cap]


def restatements(
    task: Task, edit: SelfEdit, settings: KnowledgeSettings
) -> tuple[list[str], list[str]]:
    """What each completion of an edit of `sentences` adds to what is trained on, "" for nothing; and
    why those cannot be used that say nothing, or something else than their sentence. The others of
    which nothing is used repeat a sentence, the prompt or an earlier restatement."""
    sentences = split_sentences(task.context)
    asked = restatable_sentences(task) or sentences
    seen = _prompt_lines(task, edit) | {comparable(task.context)} | set(map(comparable, sentences))
    restated, reasons = [], []
    for i, completion in enumerate(_with_prefixes(edit)):
        statement = restatement(completion)
        if reason := degeneracy(statement):
            reasons.append((not statement and degeneracy(completion)) or reason)
        elif settings.faithful and asked and not is_faithful(asked[i % len(asked)], statement):
            reasons.append("it lost or invented a name or a number")
        elif (key := comparable(statement)) not in seen:
            seen.add(key)
            restated.append(statement)
            continue
        restated.append("")
    return restated, reasons


def restatement(completion: str) -> str:
    """The restated sentence: the first line that says something, without chat around it."""
    for raw in completion.splitlines():
        line = without_marker(raw.strip().strip("*_#` "))
        line = _LEAD_IN.sub("", line, count=1) if _LEAD_IN.match(line) else line
        line = _CHAT.sub("", line, count=1) if _CHAT.match(line) else line
        line = _unquoted(line.strip("*_ "))
        if comparable(line):
            return line
    return ""


def _unquoted(line: str) -> str:
    """Without quotation marks around the whole line (the last one may have been cut off)."""
    closing = _QUOTES.get(line[:1])
    if closing is None:
        return line
    inner = line[1:].rstrip()
    end = inner.find(closing)
    if end == -1 and closing != "'":
        return inner
    return inner[:end] if end == len(inner) - 1 else line


def _with_prefixes(edit: SelfEdit) -> list[str]:
    """The completions behind the words that were put into the model's mouth for them."""
    prefixes = [prompt.prefix for prompt in edit.prompts]
    prefixes += [""] * (len(edit.completions) - len(prefixes))
    return [
        f"{prefix} {completion.strip()}" if prefix and completion.strip() else completion
        for prefix, completion in zip(prefixes, edit.completions, strict=False)
    ]


def _prompt_lines(task: Task, edit: SelfEdit) -> set[str]:
    """Lines of the prompts, the passage's own apart: said again they are no statements."""
    lines = {comparable(line) for prompt in edit.prompts for line in prompt.text.splitlines()}
    own = {comparable(line) for line in task.context.splitlines()}
    return (lines - own) | {"", comparable(task.title)}


def _fresh(statements: Iterable[str], seen: set[str]) -> list[str]:
    """Statements that do not loop, each once, and none that was seen before."""
    kept = []
    seen = set(seen)
    for statement in statements:
        key = comparable(statement)
        if key not in seen and not degeneracy(statement):
            seen.add(key)
            kept.append(statement)
    return kept
