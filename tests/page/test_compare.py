"""Listening tests in the browser: made, voted in blind, ranked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from providers.errors import SynthesisError

pytestmark = pytest.mark.browser

TESTS = "/v1/listening/tests"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
DEFINITION = {
    "title": "Morning voices",
    "kind": "preference",
    "systems": ["anna", "ben"],
    "texts": ["Good morning.", "How are you?"],
    "min_votes": 2,
}

# What the page tells the audio clock: every clip's start, and every gain that is turned.
RECORDER = """
window.starts = []; window.ramps = [];
const { start } = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.starts.push([when, offset]); return start.call(this, when, offset);
};
const { linearRampToValueAtTime } = AudioParam.prototype;
AudioParam.prototype.linearRampToValueAtTime = function (value, time) {
  window.ramps.push([value, time]); return linearRampToValueAtTime.call(this, value, time);
};
"""


class Clock:
    """Runs as it does, and may be turned on."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(serve: Callable[..., Any], publish: Callable[..., Any], clock: Clock) -> Any:
    publish("ben")
    return serve(clock=clock)


def opened(http: httpx.Client, **changes: Any) -> dict[str, Any]:
    """A test when its audio is there, or it has failed."""
    made = http.post(TESTS, json=DEFINITION | changes).json()
    deadline = time.monotonic() + 60
    while made["status"] not in ("open", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        made = http.get(f"{TESTS}/{made['id']}").json()
    return dict(made)


def vote_on_all(http: httpx.Client, clock: Clock, test: str, answer: Callable[[int], str]) -> None:
    """One rater, past the page."""
    rater = http.post(f"{TESTS}/{test}/raters").json()
    path = f"/v1/listening/raters/{rater['rater_id']}"
    while (trial := rater["trial"]) is not None:
        heard = {side["side"]: side["must_hear_s"] for side in trial["sides"]}
        clock.ahead_s += sum(heard.values()) + 2
        body = {"answer": answer(trial["position"]), "heard": heard}
        sent = http.put(f"{path}/trials/{trial['position']}/vote", json=body)
        assert sent.is_success, sent.text
        rater = http.get(path).json()


def listen(page: Page, *sides: str) -> None:
    """To all of each."""
    for number, side in enumerate(sides, start=1):
        page.get_by_role("button", name=f"Listen to {side}").click()
        expect(page.get_by_text("heard", exact=True)).to_have_count(number)
        expect(page.get_by_role("button", name=f"Listen to {side}")).to_be_visible()  # it has ended


def go_through(page: Page, answers: list[str]) -> None:
    """A rater who begins, gives these answers, and sees the end."""
    page.get_by_role("button", name="Begin").click()
    for number, answer in enumerate(answers, start=1):
        expect(page.get_by_text(f"Question {number} of {len(answers)}")).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text(re.compile("anna|ben"))
        page.get_by_role("radio", name=answer).check(force=True)
        expect(page.get_by_role("button", name="Vote")).to_be_disabled()
        expect(page.get_by_text("Listen first. Still to hear: A, B.")).to_be_visible()
        listen(page, "A", "B")
        page.get_by_role("button", name="Vote").click()
        expect(page.get_by_role("status")).to_contain_text(f"Stored: {answer}.")
        expect(page.get_by_role("status")).to_contain_text("anna")
        expect(page.get_by_role("status")).to_contain_text("ben")
        page.get_by_role("button", name=re.compile("Next|Finish")).click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()


def test_two_raters_compare_blind_and_end_in_the_ranking(page: Page, open_page: Any) -> None:
    page.goto("/compare")
    page.get_by_role("link", name="New test").first.click()
    page.get_by_label("Title").fill("Morning voices")
    expect(page.get_by_role("checkbox", name="anna")).to_be_checked()
    expect(page.get_by_role("checkbox", name="ben")).to_be_checked()
    page.get_by_label("Texts, one per line").fill("Good morning.\n\nHow are you?\n")
    page.get_by_label("Votes before a rank").fill("2")
    expect(page.get_by_text("4 clips will be spoken.")).to_be_visible()
    page.get_by_role("button", name="Make the test").click()
    expect(page.get_by_text("2 systems × 2 texts · 0 raters, 0 votes")).to_be_visible()
    page.get_by_role("link", name="Take part").click()
    address = page.url
    go_through(page, ["A is better", "B is better"])

    other = open_page()  # another person, in a browser of their own
    other.goto(address)
    go_through(other, ["A is better", "A is better"])
    other.get_by_role("link", name="Results").click()
    expect(other.get_by_role("heading", name="Morning voices")).to_be_visible()
    expect(other.get_by_text("4 of 4 votes count")).to_be_visible()
    expect(other.get_by_role("figure", name="Strength").get_by_role("listitem")).to_have_count(2)
    expect(other.get_by_role("figure").get_by_text(re.compile("^1. (anna|ben)$"))).to_be_visible()
    expect(other.get_by_role("img", name=re.compile("anna preferred to ben in \\d of 4"))).to_be_visible()
    expect(other.get_by_role("table", name="Raters").get_by_role("row")).to_have_count(3)


def test_switching_sides_goes_on_at_the_same_sample(server: Any, page: Page) -> None:
    test = opened(server.http, texts=["A text that is long enough to switch sides in its middle."])
    page.add_init_script(RECORDER)
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Listen to A").click()
    expect(page.get_by_text(re.compile("0.[3-9] / "))).to_be_visible()
    page.get_by_role("button", name="Listen to B").click()
    expect(page.get_by_role("button", name="Pause B")).to_be_visible()
    starts, ramps = page.evaluate("[starts, ramps]")
    assert len(starts) == 2  # both clips once, when A was pressed: nothing starts at the switch
    assert starts[0] == starts[1]
    assert [value for value, _ in ramps] == [0, 1]
    assert ramps[0][1] == ramps[1][1]
    page.get_by_role("slider", name="Position").fill("0.25")
    starts = page.evaluate("starts")
    assert starts[2] == starts[3]
    assert starts[2][1] == 0.25


def test_a_reload_goes_on_where_the_rater_was(server: Any, page: Page) -> None:
    test = opened(server.http)
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").click()
    listen(page, "A", "B")
    page.get_by_role("radio", name="A is better").check(force=True)
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_role("status")).to_contain_text("Stored")
    page.reload()
    expect(page.get_by_text("Question 2 of 2")).to_be_visible()
    assert server.http.get(f"{TESTS}/{test['id']}").json()["raters"] == 1


def test_keys_are_enough_on_a_korean_keyboard(server: Any, open_page: Any) -> None:
    test = opened(server.http, kind="abx", texts=["Hello."], reveal="end")
    page = open_page(language="ko")
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="시작하기").press("Enter")
    expect(page.get_by_role("heading", name="X는 A와 B 중 어느 쪽과 같은가요?")).to_be_visible()
    expect(page.get_by_role("button", name="A 듣기")).to_be_enabled()
    page.keyboard.press("Space")
    expect(page.get_by_text("들음", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="일시 정지")).to_have_count(0)  # it has ended
    for number, (letter, place) in enumerate({"ㅠ": "KeyB", "ㅌ": "KeyX"}.items(), start=2):
        page.evaluate(
            "([key, code]) => document.body.dispatchEvent("
            "new KeyboardEvent('keydown', {key, code, bubbles: true}))",
            [letter, place],
        )
        expect(page.get_by_text("들음", exact=True)).to_have_count(number)
        expect(page.get_by_role("button", name="일시 정지")).to_have_count(0)
    page.keyboard.press("2")
    expect(page.get_by_role("radio", name="X는 B")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("저장됨: X는 B")  # the last vote, so names are told
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="끝났습니다. 고맙습니다.")).to_be_visible()
    expect(page.get_by_text(re.compile("1번 중 [01]번 X를 알아맞힘"))).to_be_visible()
    assert server.http.get(f"{TESTS}/{test['id']}").json()["votes"] == 1
    page.get_by_role("link", name="결과 보기").click()
    expect(page.get_by_role("figure", name="구별 여부").get_by_text("anna / ben")).to_be_visible()


def test_ratings_with_traps_fit_a_phone_and_hide_what_is_said(server: Any, open_page: Any) -> None:
    traps = [{"text": "Choose two.", "expected": 2}]
    test = opened(server.http, kind="mos", texts=["Hello."], traps=traps)
    page = open_page(width=360, height=740, has_touch=True, is_mobile=True)
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").tap()
    for number in range(1, 4):
        expect(page.get_by_text(f"Question {number} of 3")).to_be_visible()
        expect(page.get_by_role("main")).not_to_contain_text(re.compile("Hello|Choose two"))
        page.get_by_role("button", name="Listen to A").tap()
        expect(page.get_by_text("heard", exact=True)).to_be_visible()
        page.get_by_role("radio", name="2 Poor").tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_role("button", name="Vote").tap()
        page.get_by_role("button", name=re.compile("Next|Finish")).tap()
    expect(page.get_by_text("2.0 on average")).to_have_count(2)
    page.get_by_role("link", name="Results").tap()
    expect(page.get_by_role("cell", name="0 / 1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_ranking_shows_who_is_left_out_and_leaves_as_csv(
    server: Any, page: Page, clock: Clock, tmp_path: Path
) -> None:
    texts = [f"Text {number}." for number in range(12)]
    test = opened(server.http, texts=texts, min_votes=30)
    for rater in range(2):
        vote_on_all(
            server.http, clock, test["id"], lambda position, rater=rater: "ab"[(position + rater) % 2]
        )
    page.goto(f"/rank/{test['id']}")
    expect(page.get_by_role("heading", name="Too few votes")).to_be_visible()
    expect(page.get_by_text("6 more votes for a rank")).to_have_count(2)
    vote_on_all(server.http, clock, test["id"], lambda _: "a")
    vote_on_all(server.http, clock, test["id"], lambda position: "ab"[position % 2])
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text("1 rater is left out")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^3 always the same answer 12 "))).to_be_visible()
    expect(page.get_by_text("36 of 48 votes count")).to_be_visible()
    expect(page.get_by_role("figure", name="Strength").get_by_role("listitem")).to_have_count(2)
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV").click()
    started.value.save_as(tmp_path / "votes.csv")
    assert len((tmp_path / "votes.csv").read_text().splitlines()) == 49
    assert started.value.suggested_filename == f"{test['id']}.csv"


def test_tests_are_closed_opened_and_deleted(server: Any, page: Page) -> None:
    opened(server.http)
    page.goto("/compare")
    row = page.get_by_role("listitem", name="Morning voices")
    row.get_by_role("button", name="Close").click()
    expect(row.get_by_text("closed")).to_be_visible()
    expect(row.get_by_role("link", name="Take part")).to_have_count(0)
    row.get_by_role("button", name="Open again").click()
    expect(row.get_by_role("link", name="Take part")).to_be_visible()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no listening test yet.")).to_be_visible()
    assert server.http.get(TESTS).json()["data"] == []


def test_a_test_whose_audio_failed_says_why(server: Any, page: Page) -> None:
    server.speech.error = SynthesisError("found a text that can't be spoken.")
    opened(server.http)
    page.goto("/compare")
    expect(page.get_by_text("found a text that can't be spoken.")).to_be_visible()
    expect(page.get_by_role("link", name="Take part")).to_have_count(0)


def test_the_key_opens_tests_and_their_audio(serve: Any, publish: Any, open_page: Any) -> None:
    publish("ben")
    server = serve(api_key="sesame")
    server.http.headers["Authorization"] = "Bearer sesame"
    test = opened(server.http, texts=["Hello."])
    page = open_page(base_url=server.url)
    page.goto(f"/compare/{test['id']}")
    page.get_by_label("API key").fill("sesame")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Begin").click()
    listen(page, "A", "B")


def test_a_vote_that_did_not_arrive_is_sent_again(server: Any, page: Page) -> None:
    test = opened(server.http, texts=["Hello."])
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").click()
    listen(page, "A", "B")
    page.get_by_role("radio", name="B is better").check(force=True)
    page.context.set_offline(True)
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    page.context.set_offline(False)
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_role("status")).to_contain_text("Stored: B is better.")


def test_a_trial_that_was_voted_on_in_another_tab_is_left_behind(
    server: Any, page: Page, clock: Clock
) -> None:
    test = opened(server.http)
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").click()
    listen(page, "A", "B")
    rater = page.evaluate("id => localStorage.getItem(`rater:${id}`)", test["id"])
    clock.ahead_s += 10
    body = {"answer": "a", "heard": {"a": 1.0, "b": 1.0}}
    assert server.http.put(f"/v1/listening/raters/{rater}/trials/0/vote", json=body).is_success
    page.get_by_role("radio", name="B is better").check(force=True)
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_text("Question 2 of 2")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_trials_and_results_can_be_read_by_everyone(
    server: Any, open_page: Any, clock: Clock, theme: str
) -> None:
    test = opened(server.http, min_votes=4)
    for answer in "aab":
        vote_on_all(server.http, clock, test["id"], lambda _, answer=answer: answer)
    page = open_page(color_scheme=theme, width=360)
    page.goto(f"/compare/{test['id']}")
    page.get_by_role("button", name="Begin").click()
    listen(page, "A", "B")
    page.get_by_role("radio", name="B is better").check(force=True)
    found = [Axe().run(page, options=RULES)]
    page.get_by_role("button", name="Vote").click()
    expect(page.get_by_role("status")).to_contain_text("Stored")
    found.append(Axe().run(page, options=RULES))
    page.goto(f"/rank/{test['id']}")
    expect(page.get_by_role("figure", name="Strength")).to_be_visible()
    found.append(Axe().run(page, options=RULES))
    page.goto("/compare/new")
    expect(page.get_by_role("checkbox", name="anna")).to_be_visible()
    page.get_by_role("radio", name=re.compile("MOS")).check(force=True)
    page.get_by_role("button", name="Add a trap").click()
    found.append(Axe().run(page, options=RULES))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert not any(result.response["violations"] for result in found), [
        result.generate_report() for result in found
    ]
