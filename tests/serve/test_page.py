"""The page in a real browser: what a person does with it, by keyboard where that matters.

Skips where there is no Chromium (apt-get install chromium; pip install playwright).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator

import pytest

from selfedit.model.fake import FakeModel
from selfedit.serve.run import listening, server_of
from selfedit.serve.service import Service
from selfedit.serve.settings import ServeSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

EVIL = "Owls <img src=x onerror=window.owned=1>"
TEXT = f"# {EVIL}\n\nThe Hask owl eats blue moths at dusk."
NAMELESS = """
    [...document.querySelectorAll('button, input, textarea, select, a, iframe, progress')]
    .filter((one) => !(one.textContent || one.ariaLabel || one.title || one.labels?.length))
    .map((one) => one.outerHTML)"""
QUESTION = "What does the Hask owl eat?"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=180_000
        )
        yield chromium
        chromium.close()


class Site:
    """A server of its own, in a thread. key: that it wants."""

    def __init__(self, folder, key: str | None = None) -> None:
        settings = ServeSettings(port=0, api_key=key)
        socket = listening(settings)
        self.address = f"http://127.0.0.1:{socket.getsockname()[1]}"
        self.service = Service(FakeModel(), folder, settings)
        self.server = server_of(self.service)
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [socket]}, daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    site = Site(tmp_path / "lib")
    yield site
    site.close()


@pytest.fixture
def page(browser, site) -> Iterator:
    """The page with nothing wrong in its console, and no request to anywhere else."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_default_timeout(120_000)
    page.goto(site.address)
    yield page
    assert shown_values(page) == []
    assert not wrong
    assert all(url.startswith((site.address, "blob:")) for url in asked)
    context.close()


def shown_values(page) -> list[str]:
    """Texts that are a value of JavaScript's and no words."""
    texts = page.evaluate("document.body.innerText").splitlines()
    return [text for text in texts if text.strip() in ("false", "null", "undefined", "NaN")]


def learn(page) -> None:
    page.goto(page.url.split("#")[0] + "#learn")
    page.get_by_label("Or paste a text").fill(TEXT)
    page.get_by_text("Questions and settings").click()
    page.get_by_label("Questions, one a line").fill(f"{QUESTION} | blue moths")
    page.get_by_role("button", name="Learn", exact=True).click()
    page.get_by_text("Kept as version 1").wait_for()


def begin_correction(page, right: str) -> None:
    """Of what is answered after learning."""
    learn(page)
    page.get_by_role("link", name="Ask").click()
    page.get_by_label("Question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Correct this").click()
    page.get_by_label("What is right?").fill(right)


def test_learn_ask_correct_and_go_back(page, site):
    learn(page)
    page.locator("#standing .tag", has_text="version 1").wait_for()
    page.get_by_text("1 self-edit, with its reward").click()
    page.get_by_text("not compared").first.wait_for()
    # Only the keyboard: "/" goes to the question, Enter asks.
    page.locator("h1").click()
    page.keyboard.press("/")
    page.locator("#question:focus").wait_for()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    answers = page.locator(".answer")
    page.get_by_text("blue moths").first.wait_for()
    assert answers.count() == 2
    assert "I do not know." in answers.nth(0).inner_text()
    assert EVIL in answers.nth(1).inner_text()  # the source's title, as text
    page.get_by_role("button", name="Correct this").click()
    page.get_by_label("What is right?").fill("The Hask owl eats grey moths at dusk.")
    page.get_by_role("button", name="Remember this").click()
    page.get_by_text("Kept as version 2").wait_for()
    page.get_by_role("link", name="Conversations").click()
    page.get_by_text("How it tested itself").click()
    page.get_by_role("button", name="Undo what was remembered").click()
    page.locator("#standing .tag", has_text="version 1").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Self-edits of version 1").click()
    page.get_by_text("Training loss, nats a token").wait_for()
    page.get_by_role("button", name="Make version 2 current").click()
    page.locator("#standing .tag", has_text="version 2").wait_for()
    page.get_by_role("button", name="Take that back").click()
    page.locator("#standing .tag", has_text="version 1").wait_for()
    assert site.service.library.current().version == 1
    assert page.evaluate("window.owned") is None


def test_reports_open_in_a_frame_that_runs_nothing(page):
    learn(page)
    page.get_by_role("link", name="History").click()
    page.get_by_text("What version 1 knows").wait_for()
    assert shown_values(page) == []
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("button", name="Report of run 1").click()
    frame = page.frame_locator("#report-frame")
    frame.get_by_role("heading", name="What the model learned").wait_for()
    page.keyboard.press("Escape")
    page.locator("#report").wait_for(state="hidden")


def test_files_are_taken_and_a_refusal_is_said(page):
    page.get_by_role("link", name="Learn").click()
    page.get_by_role("button", name="Learn", exact=True).click()
    page.get_by_text("Name a document first").wait_for()
    notes = {"name": "owls.md", "mimeType": "text/markdown", "buffer": TEXT.encode()}
    page.locator("#files").set_input_files(notes)
    page.get_by_role("button", name="Remove owls.md").wait_for()
    page.get_by_role("button", name="Learn", exact=True).click()
    page.get_by_text("Kept as version 1").wait_for()
    page.reload()
    page.locator(".job", has_text="owls.md").wait_for()  # by its name, not by its id


def test_a_file_may_replace_the_learned_one_of_its_name(page, site):
    page.get_by_role("link", name="Learn").click()
    for version, meal in ((1, "blue moths at dusk"), (2, "barley at noon")):
        text = TEXT.replace("blue moths at dusk", meal)
        notes = {"name": "owls.md", "mimeType": "text/markdown", "buffer": text.encode()}
        page.locator("#files").set_input_files(notes)
        page.get_by_role("button", name="Remove owls.md").wait_for()
        if version == 2:
            page.get_by_label("What becomes of owls.md").select_option(label=f"replaces {EVIL}")
        page.get_by_role("button", name="Learn", exact=True).click()
        page.get_by_text(f"Kept as version {version}").wait_for()
    (document,) = site.service.library.current().documents
    assert "barley" in document.passages[0].context
    assert page.locator(".job", has_text="owls.md").count() == 2


def test_everything_that_is_pressed_has_a_name_and_nothing_is_too_wide(page):
    learn(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("ask", "learn", "history", "memory", "runs"):
        page.goto(page.url.split("#")[0] + f"#{name}")
        page.locator(f".part.{name} h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.evaluate(NAMELESS) == []


def test_a_key_is_asked_for_once_and_kept_in_the_tab(browser, tmp_path):
    site = Site(tmp_path / "lib", key="a key of sixteen letters")
    try:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(site.address)
        page.locator("#key-field").fill("a key of sixteen letters")
        page.get_by_role("button", name="Use it").click()
        page.get_by_label("Question").wait_for()
        page.reload()
        page.get_by_label("Question").wait_for()
        context.close()
    finally:
        site.close()


def test_jobs_that_wait_leave_the_page_its_connections(page, site, monkeypatch):
    """A browser has six to a server."""
    released = threading.Event()

    def wait(job, events):
        released.wait(120)
        return {}

    monkeypatch.setitem(site.service.jobs.kinds, "learn", wait)
    try:
        for number in range(8):
            site.service.jobs.submit("learn", {"documents": [{"text": "", "title": f"Owls {number}"}]})
        page.get_by_role("link", name="Learn").click()
        last = page.locator(".job", has_text="Owls 7")
        last.get_by_role("button", name="Cancel").click()
        last.get_by_text("cancelled").wait_for(timeout=20_000)
    finally:
        released.set()
    page.locator(".job", has_text="Owls 6").get_by_text("succeeded").wait_for()


def test_a_correction_that_is_begun_stays_while_more_is_asked(page):
    begin_correction(page, "The Hask owl eats grey moths.")
    page.get_by_label("Question").fill("What is a moth?")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What is a moth?").wait_for()
    assert page.get_by_label("What is right?").input_value() == "The Hask owl eats grey moths."


def test_answers_are_headed_by_who_gave_them(page, site):
    learn(page)
    page.get_by_role("link", name="Ask").click()
    page.get_by_label("Question").wait_for()
    site.service.library.rollback(0)  # in another window
    page.get_by_label("Question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_text("I do not know.").nth(1).wait_for()
    assert page.locator(".answer h3").all_inner_texts() == ["Bare model", "Bare model current"]


def test_what_is_sent_twice_at_once_is_sent_once(page):
    page.get_by_label("Question").fill("What is a moth?")
    page.evaluate("for (let n = 0; n < 3; n += 1) document.querySelector('form.card').requestSubmit()")
    page.get_by_role("heading", name="What is a moth?").first.wait_for()
    page.get_by_label("Question").fill("What is an owl?")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What is an owl?").wait_for()
    assert page.locator(".result").count() == 2


def test_questions_without_answers_are_said_before_files_are_sent(page, site):
    page.get_by_role("link", name="Learn").click()
    notes = {"name": "owls.md", "mimeType": "text/markdown", "buffer": TEXT.encode()}
    page.locator("#files").set_input_files(notes)
    page.get_by_text("Questions and settings").click()
    page.get_by_label("Questions, one a line").fill(QUESTION)
    page.get_by_role("button", name="Learn", exact=True).click()
    page.get_by_text("This line has no answer").wait_for()
    assert site.service.files.list() == []


def test_blanks_are_no_correction_and_no_note(page, site):
    begin_correction(page, "  ")
    page.get_by_role("button", name="Remember this").click()
    page.get_by_role("link", name="Conversations").click()
    page.get_by_label("Remember this").fill("  ")
    page.get_by_role("button", name="Remember", exact=True).click()
    page.locator("#note:focus").wait_for()
    assert "Cannot" not in page.locator("#toast").inner_text()
    assert [run.kind for run in site.service.library.store.runs(None)] == ["learn"]
