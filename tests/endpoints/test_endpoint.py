"""Endpoints and what is built on them, against a server that misbehaves."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import selfedit.endpoints.batch as batch_module
import selfedit.endpoints.client as endpoint_module
from selfedit.config import OPENAI_URL, EndpointSettings, JudgeSettings, SamplingSettings
from selfedit.domains.knowledge import Knowledge
from selfedit.domains.knowledge.settings import KnowledgeSettings
from selfedit.endpoints.judge import Judge, read_verdict
from selfedit.endpoints.replies import UnreadableReply, retry_after
from selfedit.endpoints.rubric import RubricJudge, RubricScore, read_rubric
from selfedit.endpoints.writer import EndpointWriter, read_edits
from selfedit.errors import EndpointError, InputError, JudgeError, SelfEditError
from selfedit.grading import GRADERS
from selfedit.store import Store
from selfedit.types import Prompt, Query, Task
from tests.endpoint_server import EndpointServer, Reply, error

KEY, OPENAI_KEY = "sk-test-5c0a81d9e7", "sk-openai-77aa10bb"
RATINGS = {"length": 3, "diversity": 4, "quality": 5, "correctness": 2}
Serve = Callable[..., EndpointServer]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", OPENAI_KEY)
    monkeypatch.setenv("SELFEDIT_JUDGE_API_KEY", KEY)
    monkeypatch.setenv("SELFEDIT_WRITER_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server: of a function (number, prompt) -> Reply, or of replies, the last for ever."""
    servers = []

    def start(*replies: Any) -> EndpointServer:
        if callable(replies[0]):
            answer = replies[0]
        else:

            def answer(number: int, prompt: str) -> Reply:
                return replies[min(number, len(replies) - 1)]

        servers.append(EndpointServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store.db") as opened:
        yield opened


@pytest.fixture
def delays() -> list[float]:
    return []


@pytest.fixture
def judge_of(store: Store, delays: list[float]) -> Callable[..., Judge]:
    def make(server: EndpointServer, **settings: Any) -> Judge:
        values = {"base_url": server.url, "model": "judge-1", "max_retries": 3, **settings}
        return Judge(JudgeSettings(**values), store, sleep=delays.append, jitter=lambda: 0.5)

    return make


def query(n: int = 0) -> Query:
    return Query(f"What is number {n}?", (f"gold {n}", f"other {n}"))


def by_number(right: Callable[[int], bool]) -> Callable[[int, str], Reply]:
    """The verdict on answer n, later for the earlier ones."""

    def answer(_: int, prompt: str) -> Reply:
        n = int(re.findall(r"What is number (\d+)", prompt)[0])
        return Reply("Yes." if right(n) else "no", seconds=0.004 * (8 - n % 8))

    return answer


# -- verdicts ------------------------------------------------------------------------------------


def test_verdicts_in_order_each_asked_once(serve, judge_of):
    server = serve(by_number(lambda n: n % 3 == 0))
    judge = judge_of(server)
    queries = [query(n) for n in range(24)]
    expected = [n % 3 == 0 for n in range(24)]
    counts: list[int] = []
    assert judge.grade_many(queries, ["it"] * 24, counts.append) == expected
    assert len(server.requests) == 24
    assert sum(counts) == 24
    assert judge.grade_many(queries[::-1], [" it\n"] * 24, counts.append) == expected[::-1]
    assert judge_of(server, concurrency=2, timeout=9).grade_many(queries, ["it"] * 24) == expected
    assert len(server.requests) == 24, "all of them were known"
    assert sum(counts) == 48


def test_what_is_sent(serve, judge_of):
    server = serve(Reply("yes"))
    assert judge_of(server).grade_many([query()], ["an {answer} with {golds}"]) == [True]
    (sent,) = server.requests
    (message,) = sent["messages"]
    assert message["role"] == "user"
    for part in ("What is number 0?", "gold 0\nor: other 0", "an {answer} with {golds}"):
        assert part in message["content"]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("judge-1", 0, 1024)
    assert server.authorisations == [f"Bearer {KEY}"]


def test_parameters_can_be_renamed_and_left_out(serve, judge_of):
    server = serve(Reply("no"))
    judge_of(server, limit_parameter="max_completion_tokens", omit=("temperature",))("q", ["g"], "a")
    assert set(server.requests[0]) == {"model", "messages", "max_completion_tokens"}


def test_the_same_question_twice_in_a_batch_is_asked_once(serve, judge_of):
    server = serve(Reply("yes"))
    assert judge_of(server).grade_many([query(), query()], ["a", "a "]) == [True, True]
    assert len(server.requests) == 1


def test_every_part_of_the_identity_counts(serve, judge_of):
    server, other = serve(Reply("yes")), serve(Reply("no"))
    judge = judge_of(server)
    assert judge("q", ["g"], "a")
    for changed in (("r", ["g"], "a"), ("q", ["g", "h"], "a"), ("q", ["g"], "b")):
        assert judge(*changed)
    assert judge_of(server, model="judge-2")("q", ["g"], "a")
    assert len(server.requests) == 5
    assert not judge_of(other)("q", ["g"], "a"), "another address is another judge"


def test_answers_without_text_are_wrong_without_a_call(serve, judge_of):
    server = serve(Reply("yes"))
    judge = judge_of(server)
    assert judge.grade_many([query(0), query(1), query(2)], ["", "a", " \n"]) == [False, True, False]
    assert len(server.requests) == 1
    assert judge.grade_many([], []) == []
    with pytest.raises(ValueError, match="zip"):
        judge.grade_many([query()], [])


def test_a_judge_is_a_grader(serve, judge_of):
    two = threading.Barrier(2)  # neither is answered before both have asked

    def reply(_: int, prompt: str) -> Reply:
        two.wait(timeout=60)
        return Reply("yes" if "tide" in prompt else "no")

    server = serve(reply)
    judge = judge_of(server)
    domain = Knowledge(KnowledgeSettings(), grader=judge)
    score = domain.score(Task("t", "T", "c", (query(0), query(1), query(2))), ["tide", "b", ""])
    assert [answer.correct for answer in score.answers] == [True, False, False]
    assert server.busiest == 2, "a task's answers are judged together"
    graders = (judge, judge_of(server, model="judge-2"), GRADERS["offline"], GRADERS["contains"])
    assert len({Knowledge(grader=grader).digest() for grader in graders}) == 4


def test_without_a_store_every_answer_is_asked(serve):
    server = serve(Reply("yes"))
    judge = Judge(JudgeSettings(base_url=server.url))
    assert judge("q", ["g"], "a")
    assert judge("q", ["g"], "a")
    assert len(server.requests) == 2


def test_odd_text_travels(serve, judge_of):
    server = serve(Reply("no"))
    assert not judge_of(server)("q \udc80", ["日本 \0"], 'a "b" \U0001f642')
    assert 'a "b" \U0001f642' in server.requests[0]["messages"][0]["content"]


def test_no_more_at_a_time_than_allowed(serve, judge_of):
    three = threading.Barrier(3)  # nobody is answered before three have asked

    def reply(*_):
        three.wait(timeout=60)
        return Reply("yes", seconds=0.01)

    server = serve(reply)
    judge_of(server, concurrency=3).grade_many([query(n) for n in range(15)], ["a"] * 15)
    assert server.busiest == 3


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("yes", True),
        ("No", False),
        (" **Yes.** ", True),
        ('"no"', False),
        ("Yes, it names the same person.", True),
        ("no\nThe answer names another year.", False),
        ("No - another year.", False),
        ("Answer: yes", True),
        ("**Verdict:** no.", False),
        ("<think>Is it yes? No …</think>\nyes", True),
        ("", None),
        ("maybe", None),
        ("No idea", None),
        ("No-one knows", None),
        ("Nothing of the kind", None),
        ("yes and no", None),
        ("yesterday", None),
        ("I say yes", None),
        ("<think>yes", None),
    ],
)
def test_verdicts_are_read_strictly(reply: str, verdict: bool | None):
    if verdict is None:
        with pytest.raises(UnreadableReply):
            read_verdict(reply)
    else:
        assert read_verdict(reply) is verdict


# -- passing failures ----------------------------------------------------------------------------

PASSING = {
    "429": error(429, headers={"Retry-After": "7"}),
    "500": error(500),
    "503 without JSON": Reply(
        status=503, raw="<html>later</html>", headers={"Content-Type": "text/html"}
    ),
    "408": error(408),
    "cut-off JSON": Reply(raw='{"choices": [{"message": {"content": "ye'),
    "no JSON": Reply(raw="<html>welcome</html>", headers={"Content-Type": "text/html"}),
    "nonsense": Reply("The moon is made of basalt."),
    "no choices": Reply(raw='{"choices": []}'),
    "choices of null": Reply(raw='{"choices": null}'),
    "an error with status 200": Reply(raw='{"error": {"message": "upstream"}}'),
    "no content": Reply(None),
    "nothing but thoughts": Reply("", finish="length"),
    "closed mid-reply": Reply(how="cut"),
    "hangs": Reply(how="hang"),
}


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_passing_failures_are_tried_again(serve, judge_of, delays, failure):
    server = serve(failure, failure, Reply("yes"))
    hangs = failure.how == "hang"  # a slow machine may then be late with the last reply, too
    judge = judge_of(server, **({"timeout": 0.2, "max_retries": 50} if hangs else {}))
    assert judge.grade_many([query()], ["a"]) == [True]
    assert len(server.requests) == 3 or hangs
    asked_to_wait = failure.headers.get("Retry-After")
    assert delays[:2] == ([7.0, 7.0] if asked_to_wait else [0.75, 1.5])
    assert len(delays) == 2 or hangs


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING)
def test_what_does_not_pass_is_an_error_and_never_a_verdict(serve, judge_of, delays, store, failure):
    server = serve(failure)
    judge = judge_of(server, **({"timeout": 0.1} if failure.how == "hang" else {}))
    with pytest.raises(JudgeError) as caught:
        judge.grade_many([query()], ["a"])
    server.received(4)
    assert f"judge judge-1 at {server.url} failed after 4 attempts" in str(caught.value)
    assert "run again" in str(caught.value)
    assert (len(server.requests), len(delays)) == (4, 3)
    server.answer = lambda *_: Reply("yes")
    assert judge_of(server).grade_many([query()], ["a"]) == [True], "nothing was cached"


def test_nobody_listens(serve, judge_of, delays):
    server = serve(Reply("yes"))
    server.close()
    server.close = lambda: None
    with pytest.raises(
        JudgeError, match=r"failed after 4 attempts .*refused.*Check that it can be reached"
    ):
        judge_of(server)("q", ["g"], "a")
    assert delays == [0.75, 1.5, 3.0]


def test_delays_grow_to_a_bound_and_vary(serve, store):
    server = serve(error(500))
    for jitter, expected in ((0.0, [0.5, 1, 2, 4, 8, 16, 30, 30]), (1.0, [1, 2, 4, 8, 16, 32, 60, 60])):
        seen: list[float] = []
        settings = JudgeSettings(base_url=server.url, max_retries=8)
        judge = Judge(settings, store, sleep=seen.append, jitter=lambda j=jitter: j)
        with pytest.raises(JudgeError):
            judge("q", ["g"], "a")
        assert seen == expected


def test_retry_after_is_read():
    assert retry_after({}) is None
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "20", "retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({"retry-after": "-3"}) is None
    wait = retry_after({"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=30))})
    assert wait is not None
    assert 1 < wait <= 30
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


# -- failures for good ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "advice"),
    [
        (error(401, "bad key"), "SELFEDIT_JUDGE_API_KEY"),
        (error(403), "SELFEDIT_JUDGE_API_KEY"),
        (error(404, "no such model"), "ends in /v1"),
        (error(400, "Unsupported parameter: 'max_tokens'"), "limit_parameter"),
        (error(429, "quota", code="insufficient_quota"), "credit"),
        (error(429, headers={"Retry-After": "3600"}), "3600 s"),
    ],
)
def test_failures_for_good_stop_at_once(serve, judge_of, delays, failure, advice):
    server = serve(failure)
    with pytest.raises(JudgeError, match=advice) as caught:
        judge_of(server, concurrency=1).grade_many([query(n) for n in range(5)], ["a"] * 5)
    assert isinstance(caught.value, SelfEditError)
    assert server.url in str(caught.value)
    assert (len(server.requests), delays) == (1, [])


def test_a_failure_half_way_loses_nothing(serve, judge_of):
    server = serve(lambda number, _: Reply("yes") if number < 7 else error(401))
    judge = judge_of(server, concurrency=1)
    queries, answers = [query(n) for n in range(12)], ["a"] * 12
    with pytest.raises(JudgeError, match="7 of 12 replies of this batch arrived and are kept"):
        judge.grade_many(queries, answers)
    assert len(server.requests) == 8
    server.answer = lambda *_: Reply("no")
    assert judge.grade_many(queries, answers) == [True] * 7 + [False] * 5
    assert len(server.requests) == 8 + 5


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[batch_module.Batch[Any, Any, Any]]:
    """The batches that are asked, so that a server can wait until one has been stopped."""
    made: list[batch_module.Batch[Any, Any, Any]] = []

    def batch(work: Any) -> batch_module.Batch[Any, Any, Any]:
        made.append(batch_module.Batch(work))
        return made[-1]

    monkeypatch.setattr(endpoint_module, "Batch", batch)
    return made


def test_requests_on_their_way_are_kept_when_another_fails(serve, judge_of, batches):
    four = threading.Barrier(4)

    def answer(number: int, prompt: str) -> Reply:
        if number < 4:
            four.wait(timeout=60)
        if "number 0?" in prompt:
            return error(401)
        batches[-1].stop.wait(60)
        return Reply("yes")

    server = serve(answer)
    judge = judge_of(server, concurrency=4)
    with pytest.raises(JudgeError):
        judge.grade_many([query(n) for n in range(40)], ["a"] * 40)
    assert len(server.requests) == 4, "nothing new is sent after the failure"
    server.answer = lambda *_: Reply("yes")
    judge.grade_many([query(n) for n in range(40)], ["a"] * 40)
    assert len(server.requests) == 4 + 40 - 3


def test_a_failure_wakes_those_who_wait(serve, store):
    def answer(number: int, prompt: str) -> Reply:
        busy = error(429, headers={"Retry-After": "60"})
        return Reply(status=401, seconds=0.1) if "number 0?" in prompt else busy

    judge = Judge(JudgeSettings(base_url=serve(answer).url), store)  # sleeps for real
    began = time.monotonic()
    with pytest.raises(JudgeError, match="401"):
        judge.grade_many([query(n) for n in range(6)], ["a"] * 6)
    assert time.monotonic() - began < 50


def test_an_interrupted_batch_keeps_what_is_on_its_way(serve, judge_of, batches, monkeypatch):
    def answer(_: int, prompt: str) -> Reply:
        if "number 0?" not in prompt:
            batches[-1].stop.wait(60)
        return Reply("yes")

    monkeypatch.setattr(batch_module, "GRACE", 60.0)
    server = serve(answer)
    judge = judge_of(server, concurrency=4)
    queries, answers = [query(n) for n in range(20)], ["a"] * 20

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        judge.grade_many(queries, answers, interrupt)
    assert len(server.requests) <= 5
    assert caught.tb is not None, "alive, and with it all its frames"
    server.answer = lambda *_: Reply("yes")
    assert judge.grade_many(queries, answers) == [True] * 20
    assert len(server.requests) == 20


def test_a_store_that_fails_stops_the_batch(serve):
    class Full:
        def cached(self, keys: Any) -> dict[str, Any]:
            return {}

        def put_cached(self, kind: str, values: Any) -> None:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Judge(JudgeSettings(base_url=serve(Reply()).url), Full())("q", ["g"], "a")


# -- the key -------------------------------------------------------------------------------------

ECHOES = {
    "in an error": error(401, f"Incorrect API key provided: {KEY}"),
    "across the cut": error(400, "x" * 190 + KEY),
    "in a page": Reply(status=500, raw=f"<p>Authorization: Bearer {KEY}</p>"),
    "in a reply": Reply(f"Your key is {KEY}, is it not?"),
    "across the cut of a reply": Reply("x" * 170 + KEY),
    "in broken JSON": Reply(raw=f'{{"key": "{KEY}'),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_the_key_is_nowhere(serve, judge_of, echo, caplog, tmp_path, store):
    caplog.set_level(logging.DEBUG)
    judge = judge_of(serve(Reply("yes"), echo), concurrency=1)
    with pytest.raises(JudgeError) as caught:
        judge.grade_many([query(0), query(1)], ["a", "a"])
    shown = "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    held = [repr(vars(judge)), repr(vars(judge.endpoint)), repr(judge.settings), caplog.text]
    for text in (shown, *held, repr(caught.value.args)):
        assert KEY not in text
        assert KEY[:8] not in text, "no part of it either"
    store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_another_variable_may_hold_the_key(serve, judge_of, monkeypatch):
    monkeypatch.setenv("MY_JUDGE_KEY", f" {KEY}-2\n")
    server = serve(Reply())
    judge_of(server, api_key_env="MY_JUDGE_KEY")("q", ["g"], "a")
    assert server.authorisations == [f"Bearer {KEY}-2"]


def test_a_reply_that_repeats_the_key_is_kept_without_it(serve, tmp_path):
    settings = EndpointSettings(model="m", base_url=serve(Reply(f"The key is {KEY}.")).url)
    store = Store(tmp_path / "store.sqlite")
    endpoint = endpoint_module.Endpoint(settings, store)
    assert endpoint.ask_many("reply", [endpoint_module.Ask("k", "Which key?")], str) == [
        "The key is [key]."
    ]
    assert store.cached(["k"]) == {"k": "The key is [key]."}


def test_a_redirect_is_not_followed(serve, judge_of):
    other = serve(Reply("yes"))
    first = serve(Reply(status=307, headers={"Location": f"{other.url}/chat/completions"}))
    with pytest.raises(JudgeError, match=r"307.*another address"):
        judge_of(first)("q", ["g"], "a")
    assert not other.requests


def test_a_server_of_ones_own_needs_no_key(serve, judge_of, monkeypatch):
    monkeypatch.delenv("SELFEDIT_JUDGE_API_KEY")
    judge = judge_of(serve(Reply("yes")))
    judge.check()
    assert judge("q", ["g"], "a")


def test_openai_needs_a_key(monkeypatch):
    Judge().check()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(JudgeError, match="set the environment variable OPENAI_API_KEY"):
        Judge().check()
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} and more")
    with pytest.raises(JudgeError, match="does not hold a key") as caught:
        Judge().check()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"base_url": "localhost:8000"},
        {"base_url": f"https://user:{KEY}@host/v1"},
        {"base_url": f"https://host/v1?key={KEY}"},
        {"api_key_env": KEY},
        {"concurrency": 0},
        {"max_retries": -1},
        {"api_key": KEY},
    ],
)
def test_settings_refuse_what_cannot_be_meant(values):
    with pytest.raises(ValidationError) as caught:
        JudgeSettings(**values)
    assert KEY not in str(caught.value)


def test_a_slash_at_the_end_changes_nothing():
    assert EndpointSettings(base_url="http://h:1/v1/").base_url == "http://h:1/v1"


# -- the rubric ----------------------------------------------------------------------------------


def test_rubric(serve, store, delays):
    server = serve(Reply("Good work!"), Reply(f"```json\n{json.dumps(RATINGS)}\n```"))
    judge = RubricJudge(JudgeSettings(base_url=server.url), store, sleep=delays.append)
    expected = RubricScore(length=3, diversity=4, quality=5, correctness=2)
    assert judge.score("A {edit} text.", "Its {context}.") == expected
    assert expected.mean == 3.5
    assert len(server.requests) == 2
    sent = server.requests[0]["messages"][0]["content"]
    assert "A {edit} text." in sent
    assert "Its {context}." in sent
    pairs = [("A {edit} text.", "Its {context}."), ("A {edit} text.", " ")]
    assert judge.score_many(pairs) == [expected, RubricScore(1, 1, 1, 1)]
    assert len(server.requests) == 2
    server.answer = lambda *_: Reply("Good work!")
    with pytest.raises(JudgeError, match="not the JSON object asked for"):
        judge.score("c", "e")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "4",
        "[3, 4, 5, 2]",
        json.dumps(RATINGS)[:-1],
        json.dumps({**RATINGS, "length": 6}),
        json.dumps({**RATINGS, "length": 0}),
        json.dumps({**RATINGS, "length": 3.5}),
        json.dumps({**RATINGS, "length": True}),
        json.dumps({**RATINGS, "length": "3"}),
        json.dumps({**RATINGS, "more": 3}),
        json.dumps({"length": 3}),
        f"Here you are: {json.dumps(RATINGS)}",
    ],
)
def test_ratings_are_read_strictly(reply: str):
    with pytest.raises(UnreadableReply):
        read_rubric(reply)


@pytest.mark.parametrize("form", ["{}", "```\n{}\n```", "```json\n{}\n```", "<think>{{</think>\n{}\n"])
def test_ratings_may_be_fenced(form: str):
    assert read_rubric(form.format(json.dumps(RATINGS))) == RubricScore(**RATINGS)


# -- writers -------------------------------------------------------------------------------------


def test_writer(serve, store, delays):
    def answer(number: int, prompt: str) -> Reply:
        return Reply(f"text on {prompt}", seconds=0.02 if "first" in prompt else 0)

    server = serve(answer)
    writer = EndpointWriter(EndpointSettings(base_url=server.url), store, sleep=delays.append)
    prompts = [Prompt("first"), Prompt("second"), Prompt("first")]
    sampling = SamplingSettings(temperature=0.7, top_p=0.9, max_new_tokens=99)
    seeds = [1, 2, 2**40 + 3]
    texts = ["text on first", "text on second", "text on first"]
    assert writer.write(prompts, sampling, seeds) == texts
    assert writer.write(prompts, sampling, seeds) == texts
    assert len(server.requests) == 3
    sent = [{k: v for k, v in r.items() if k not in ("model", "messages")} for r in server.requests]
    assert {r["seed"] for r in sent} == {1, 2, 3}
    assert all((r["temperature"], r["top_p"], r["max_tokens"]) == (0.7, 0.9, 99) for r in sent)
    writer.write(prompts, sampling.model_copy(update={"temperature": 0.8}), seeds)
    assert len(server.requests) == 6


def test_writer_keeps_what_the_model_wrote(serve, store):
    server = serve(
        Reply(""), Reply(" Question 1: Who?\n"), Reply("Who?"), Reply("cut o", finish="length")
    )
    writer = EndpointWriter(EndpointSettings(base_url=server.url, concurrency=1), store)
    begun = Prompt("ask", prefix="Question 1:")
    prompts = [Prompt("a"), begun, begun, Prompt("b")]
    written = writer.write(prompts, SamplingSettings(), [1, 2, 3, 4])
    assert written == ["", " Who?\n", "Who?", "cut o"]
    assert server.requests[1]["messages"][0]["content"].endswith("Begin your reply with: Question 1:")


def test_writer_fails_by_name(serve, store):
    server = serve(error(404))
    writer = EndpointWriter(EndpointSettings(base_url=server.url), store)
    with pytest.raises(EndpointError, match=r"The writer gpt-4\.1 at") as caught:
        writer.write([Prompt("a")], SamplingSettings(), [0])
    assert not isinstance(caught.value, JudgeError)


def test_recorded_edits(tmp_path):
    lines = [
        {"title": "T", "context": "One  text.\n", "edit": "a\u2028b"},
        {"context": "Another.", "edit": "c"},
        {"context": "One text.", "edit": ""},
    ]
    path = tmp_path / "edits.jsonl"
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_text(f"\ufeff{text}\r\n", encoding="utf-8")
    edits = read_edits(path)
    assert edits.of("One text.") == ("a\u2028b", "")
    assert edits.of(" Another. ") == ("c",)
    assert ("Another." in edits, "No." in edits, len(edits)) == (True, False, 3)
    with pytest.raises(InputError, match=r"edits\.jsonl holds no edit for the context \"No\."):
        edits.of("No.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: invalid JSON"),
        ("[1]", "line 2: not an object"),
        ('{"edit": "e"}', 'line 2: "context" is missing'),
        ('{"context": "c"}', 'line 2: "edit" is missing'),
        ('{"context": "c", "edit": 3}', 'line 2: "edit" must be a string'),
        ('{"context": " ", "edit": "e"}', 'line 2: "context" is empty'),
        ('{"context": "c", "edit": "e", "title": 3}', 'line 2: "title" must be a string'),
    ],
)
def test_bad_lines_are_named(tmp_path, line, message):
    path = tmp_path / "edits.jsonl"
    path.write_text(f'{{"context": "c", "edit": "e"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_edits(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_edits(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no edits"):
        read_edits(tmp_path / "empty.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9")
    with pytest.raises(InputError, match="UTF-8"):
        read_edits(tmp_path / "latin.jsonl")


def test_the_default_address_is_the_one_that_wants_a_key():
    assert JudgeSettings().base_url == OPENAI_URL
