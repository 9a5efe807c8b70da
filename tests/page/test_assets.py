"""What the browser gets: the current build, and nothing it may run besides."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UI = ROOT / "ui"
BUILT = ROOT / "server" / "page"


def digest_of_sources() -> str:
    """As `ui/sources.ts` makes it."""
    listed = re.search(r"ROOTS = (\[[^\]]*\])", (UI / "sources.ts").read_text())
    assert listed
    roots = [UI / name for name in json.loads(listed[1])]
    files = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    everything = hashlib.sha256()
    for path in sorted(path.relative_to(UI).as_posix() for path in files if path.is_file()):
        content = hashlib.sha256((UI / path).read_bytes()).hexdigest()
        everything.update(f"{path}\0{content}\n".encode())
    return everything.hexdigest()


def test_the_built_page_is_that_of_these_sources() -> None:
    recorded = json.loads((BUILT / "sources.json").read_text())["sha256"]
    assert recorded == digest_of_sources(), "server/page/ is out of date: run `make ui` and commit it"


def test_the_build_is_whole() -> None:
    """Every file that is there is asked for by another one, and the other way round."""
    built = {path.name for path in (BUILT / "assets").iterdir()}
    texts = [path.read_text() for path in BUILT.rglob("*") if path.is_file()]
    named = {name for text in texts for name in re.findall(r"(?:assets|\.)/([\w.~-]+\.(?:js|css|svg))", text)}
    assert built == named


def test_browsers_get_the_page_and_programs_get_json(server: Any) -> None:
    shown = server.http.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert server.http.get("/").json()["name"] == "Voice Core"
    assert {shown.headers["vary"], server.http.get("/").headers["vary"]} == {"Accept"}


def test_silly_tavern_still_speaks_at_the_root(server: Any) -> None:
    spoken = server.http.post("/", json={"text": "Hello.", "ref_audio_path": "anna", "text_lang": "en"})
    assert spoken.headers["content-type"] == "audio/wav"


def test_nothing_inline_runs_and_nothing_comes_from_elsewhere(server: Any) -> None:
    for path in ("/", "/docs"):
        shown = server.http.get(path, headers={"Accept": "text/html"})
        policy = dict(
            part.strip().split(" ", 1) for part in shown.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["script-src"] == "'self'"
        assert "unsafe" not in str(policy)
        assert not re.search(r"\son\w+=|<style|style=|<script(?![^>]*\ssrc=)", shown.text)
        assert all(
            url.startswith(("/", "data:")) for url in re.findall(r'(?:src|href)="([^"]*)"', shown.text)
        )
        assert shown.headers["x-frame-options"] == "DENY"
        assert shown.headers["x-content-type-options"] == "nosniff"


def test_each_answer_has_a_nonce_of_its_own(server: Any) -> None:
    answers = [server.http.get("/", headers={"Accept": "text/html"}) for _ in range(2)]
    nonces = [re.search(r"nonce-([^']+)", shown.headers["content-security-policy"])[1] for shown in answers]  # type: ignore[index]
    assert nonces[0] != nonces[1]
    assert all(shown.text.count(nonce) >= 1 for shown, nonce in zip(answers, nonces, strict=True))


def test_files_with_a_hash_in_their_name_are_never_asked_for_again(server: Any) -> None:
    for path in (BUILT / "assets").iterdir():
        sent = server.http.get(f"/assets/{path.name}")
        assert sent.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert sent.content == path.read_bytes()
    assert server.http.get("/", headers={"Accept": "text/html"}).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path", ["/assets/nothing.js", "/assets/..%2findex.html", "/assets/../../settings.py"]
)
def test_nothing_else_is_served_as_a_file(server: Any, path: str) -> None:
    answer = server.http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_the_page_is_open_and_what_it_asks_for_is_not(serve: Any) -> None:
    server = serve(api_key="secret")
    for path in (
        "/",
        "/docs",
        "/docs/assets/swagger-ui.css",
        *(f"/assets/{p.name}" for p in (BUILT / "assets").iterdir()),
    ):
        assert server.http.get(path, headers={"Accept": "text/html"}).status_code == 200
    for path in ("/v1/models", "/tts", "/metrics", "/assets2", "/nothing"):
        assert server.http.get(path, headers={"Accept": "text/html"}).status_code == 401
    assert server.http.post("/assets/x").status_code == 401
