"""What the policy is asked for: the instruction of each strategy, in this project's own words.

Strategies and their measured worth: Zweiger et al., arXiv 2506.10943, section 4 and its appendix.
`sentences` is this project's: models too small to work on a whole passage can restate a sentence.
`directed` is, too: the edit chooses its form and its training (`directed.py`).
"""

from __future__ import annotations

import re

from selfedit.domains.knowledge import directed
from selfedit.domains.knowledge.sentences import split_sentences
from selfedit.domains.knowledge.settings import KnowledgeSettings, Strategy
from selfedit.domains.knowledge.spans import count_words
from selfedit.types import Prompt, Task
from selfedit.words import is_unspaced, words

_PASSAGE = "\n\n{title}\n{context}\n\n"

TEMPLATES: dict[Strategy, str] = {
    "implications": (
        "Read the text and write down what follows from it, directly or by inference. Put each "
        f"statement on its own line.{_PASSAGE}Implications:"
    ),
    "implications-long": (
        "Read the text and write down, at length, everything that follows from it, directly or by "
        "inference. Make the list long and put each statement, in a full sentence, on its own "
        f"line.{_PASSAGE}Implications:"
    ),
    "implications-very-long": (
        "Read the text and write down everything that follows from it, directly or by inference: "
        "every fact, cause, consequence and connection, each explained in detail. Make the list as "
        f"long as you can and put each statement on its own line.{_PASSAGE}Implications:"
    ),
    "rewrite": (
        "Rewrite the text several times, each time in other words and another order, keeping every "
        f"fact. Put a line with only --- between one version and the next.{_PASSAGE}Versions:"
    ),
    "self-qa": (
        "Write questions about the text, each with its answer, in this form:\n"
        "Question 1: ...\nAnswer: ...\nQuestion 2: ...\nAnswer: ...\n"
        f"Together they should cover every fact.{_PASSAGE}Questions and answers:"
    ),
    "chain-of-thought": (
        "Read the text. First think step by step about what it says and what that means. Then "
        'write a line with only "Implications:" and below it what follows from the text, one '
        f"statement on each line.{_PASSAGE}Thoughts:"
    ),
    "none": "{title}\n{context}",
    # Short and plain: a model of 135 M parameters obeys little more.
    "sentences": "Rewrite this sentence in other words. Keep all names and numbers.\n\n{context}",
}

# For a sentence that does not name what it is about.
SENTENCE_WITH_SUBJECT = (
    "Rewrite this sentence about {title} in other words. Keep all names and numbers.\n\n{context}"
)

PREFIXES: dict[Strategy, str] = {"self-qa": "Question 1:"}

MIN_SENTENCE_WORDS = 3  # "Apples." cannot be restated; such sentences are trained as they stand

_FIELD = re.compile(r"\{(title|context)\}")
_PRONOUN = re.compile(
    r"\b(he|she|it|they|him|her|them|his|hers|its|their|theirs|this|these|those)\b", re.IGNORECASE
)


def fill(template: str, title: str, context: str) -> str:
    """The template with its fields filled, in one pass: braces in a document stay what they are.

    A template without {context} gets it appended, for an edit needs something to be made from.
    """
    if "{context}" not in template:
        template = f"{template.rstrip()}\n\n{{context}}"
    values = {"title": title, "context": context}
    return _FIELD.sub(lambda field: values[field.group(1)], template)


def edit_prompts(task: Task, settings: KnowledgeSettings) -> tuple[Prompt, ...]:
    """The prompts of one self-edit: one for the passage or, for `sentences`, one for each sentence
    and restatement (all sentences, then all again). An own prompt text is used for either, with
    {context} being what its prompt is about."""
    strategy = settings.strategy
    if strategy == "sentences":
        sentences = restatable_sentences(task) or split_sentences(task.context)
        once = [_sentence_prompt(task, sentence, settings.prompt_text) for sentence in sentences]
        return tuple(once * settings.restatements)
    own = settings.prompt_text
    if strategy == "directed":
        bounds = settings.directives
        asked = directed.template(bounds, example=not settings.constrained) if own is None else own
        text = fill(asked, task.title, task.context)
        return (Prompt(text, pattern=directed.pattern(bounds) if settings.constrained else ""),)
    template = TEMPLATES[strategy] if own is None else own
    prefix = PREFIXES.get(strategy, "") if own is None else ""
    return (Prompt(fill(template, task.title, task.context), prefix=prefix),)


def restatable_sentences(task: Task) -> list[str]:
    """The sentences of the passage that are long enough to be said otherwise."""
    sentences = split_sentences(task.context)
    return [sentence for sentence in sentences if count_said(sentence) >= MIN_SENTENCE_WORDS]


def count_said(text: str) -> int:
    """Words between spaces; of scripts without them three characters count one."""
    return count_words(text) if is_unspaced(text) else len(text.split())


def leaves_subject_open(sentence: str, title: str) -> bool:
    """Whether a sentence has a pronoun and no word of the title, so that a reader may not know
    what it is about."""
    if not title or not _PRONOUN.search(sentence):
        return False
    own = {word for word in words(sentence.lower()) if len(word) > 2}
    return not own & set(words(title.lower()))


def _sentence_prompt(task: Task, sentence: str, own: str | None) -> Prompt:
    open_subject = leaves_subject_open(sentence, task.title)
    template = SENTENCE_WITH_SUBJECT if open_subject else TEMPLATES["sentences"]
    return Prompt(fill(template if own is None else own, task.title, sentence))
