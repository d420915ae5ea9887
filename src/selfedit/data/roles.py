"""Which key of a record holds what: people and data sets name a question in many ways.

Names are compared without case, spaces, hyphens and underscores. Of several, the first in the list
counts that holds anything.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

Role = Literal["question", "input", "answer", "context", "title", "questions", "messages", "choices"]

# Names in other languages stand last: question, answer, and context or text.
# "instruction", "input" and "output" are Alpaca's, "prompt" and "completion" OpenAI's, "query" and
# "response" are common in retrieval, "story" is CoQA's, "passage" BoolQ's, "qas" SQuAD's and MRQA's,
# "userinput" and "retrievedcontexts" RAGAS', "expectedoutput" DeepEval's, "answerkey" ARC's.
NAMES: Mapping[Role, str] = {
    "question": (
        "question questions.text q query instruction prompt problem questiontext inputtext userinput "
        "front frage pregunta domanda pergunta questão vraag fråga spørgsmål kysymys pytanie otázka "
        "soru вопрос питання ερώτηση 问题 問題 質問 질문 คำถาม سؤال السؤال ปัญหา प्रश्न"
    ),
    "input": "input",
    "answer": (
        "answer answers gold golds goldanswer goldanswers correctanswer correctanswers referenceanswer "
        "referenceanswers reference references expectedanswer expected groundtruth groundtruths target "
        "targets a answertext answers.text answer.text bestanswer expectedoutput answerkey "
        "correctanswer(s) correctoption output response completion reply chosen ideal back "
        "antwort respuesta risposta resposta réponse reponse antwoord svar vastaus odpowiedź odpověď "
        "cevap ответ відповідь απάντηση 答案 回答 答え 답변 정답 คำตอบ جواب الجواب إجابة الإجابة उत्तर"
    ),
    "context": (
        "context passage paragraph story article document contexts retrievedcontexts content body text "
        "kontext contexto contexte contesto"
    ),
    "title": "title topic documenttitle articletitle pagetitle heading",
    "questions": "questions qas qapairs questionanswerpairs questionanswers qa quiz queries",
    "messages": "messages conversations conversation dialogue dialog turns contents",
    "choices": "choices options",
}


@lru_cache(maxsize=4096)
def key(name: str) -> str:
    """A key as it is compared."""
    name = unicodedata.normalize("NFC", name.lower().removeprefix("\ufeff"))
    return "".join(c for c in name if c not in " _-\t")


@lru_cache(maxsize=4096)
def _holders(keys: tuple[str, ...]) -> dict[Role, tuple[str, ...]]:
    """For each role the keys that may hold it, the likeliest first."""
    own: dict[str, str] = {}
    for name in keys:
        own.setdefault(key(name), name)
    return {
        role: tuple(own[name] for name in names.split() if name in own) for role, names in NAMES.items()
    }


def named(record: Mapping[str, Any], role: Role) -> tuple[str, ...]:
    """The record's keys for a role, the likeliest first."""
    return _holders(tuple(record))[role]


def find(record: Mapping[str, Any], role: Role) -> Any:
    """What a record holds in a role; None if nothing."""
    return next((record[name] for name in named(record, role) if not is_missing(record[name])), None)


def is_missing(value: object) -> bool:
    """None and NaN, which pandas writes for an empty cell."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def found_keys(record: Mapping[str, Any], most: int = 6) -> str:
    """The record's keys, for messages."""
    names = ", ".join(f'"{name}"' for name in list(record)[:most])
    return names or "nothing"
