"""The shipped questions: many, well formed, and apart from everything that is trained on."""

from collections import Counter

from selfedit.grading import contains_gold, normalise, offline
from selfedit.memory.questions import drift_prompts, general_questions, kinds
from selfedit.model.anchors import shipped


def test_general_questions_are_many_of_many_kinds_and_each_asked_once():
    questions = general_questions()
    assert len(questions) >= 300
    fields, forms = Counter(q.field for q in questions), Counter(q.form for q in questions)
    assert len(fields) >= 12
    assert min(fields.values()) >= 10
    assert set(forms) == {"question", "complete", "instruction", "yes or no"}
    asked = Counter(normalise(q.query.question) for q in questions)
    assert [text for text, times in asked.items() if times > 1] == []


def test_every_gold_answer_passes_the_grader():
    for question in general_questions():
        assert question.query.answers
        for gold in question.query.answers:
            assert gold.strip() == gold
            assert offline(question.query.question, question.query.answers, gold), question


def test_an_answer_that_only_repeats_the_question_is_not_right():
    """Except where the question offers its answers."""
    for question in general_questions():
        query = question.query
        if question.form == "yes or no":
            assert query.answers in {("yes",), ("no",)}
        else:
            assert not offline(query.question, query.answers, query.question), query
            assert not contains_gold(query.answers, query.question), query


def test_every_kind_has_things_and_questions():
    seen: set[str] = set()
    for kind in kinds():
        assert 6 <= len(kind.things) <= 12, kind.name
        assert len(kind.questions) >= 3
        assert all(text.count("{}") == 1 for text in kind.questions), kind.name
        assert not seen & set(kind.words), seen & set(kind.words)
        seen |= set(kind.words)


def test_nothing_that_measures_is_trained_on_by_an_anchor():
    measured = [*drift_prompts(), *(q.query.question for q in general_questions())]
    assert len({normalise(text) for text in measured}) == len(measured)
    assert len(drift_prompts()) >= 40
    trained = {normalise(text) for texts in shipped().values() for text in texts}
    assert len(trained) > 50
    assert [text for text in measured if normalise(text) in trained] == []
