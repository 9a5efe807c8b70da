"""Contributing a model: chosen, looked over, sent over connections that drop, read, and heard."""

from __future__ import annotations

import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from models_store.families import LAYOUTS

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
LONG_MS = 60_000  # for reading a submission, which starts a process with torch


@pytest.fixture
def folder(tmp_path: Path, make_golden_folder: Callable[[Path], Path]) -> Path:
    """A good XTTS submission of 6 MB, with something beside it that isn't part of one."""
    folder = make_golden_folder(tmp_path / "Anna’s voice")
    (folder / "optimizer.pth").write_bytes(bytes(1000))
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def choose(page: Page, path: Path | list[Path], button: str = "Choose a folder") -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(path)


def expect_published(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=f"{name} speaks")).to_be_visible(timeout=LONG_MS)


def arrived_bytes(server: Any) -> int:
    return sum(path.stat().st_size for path in server.store.layout.uploads.glob("*/content"))


class Connection:
    """What is between browser and server, and can be cut."""

    def __init__(self, upstream: str) -> None:
        host, port = upstream.split(":")
        self._upstream = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._left_bytes = 10**12
        self._is_cut = False
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, num_bytes: int) -> None:
        """Of what the browser sends."""
        self._left_bytes = num_bytes

    def restore(self) -> None:
        self._left_bytes = 10**12
        self._is_cut = False

    def cut(self) -> None:
        self._is_cut = True
        for connection in [*self._open]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                browser, _ = self._listening.accept()
                if self._is_cut:
                    browser.close()
                    continue
                server = socket.create_connection(self._upstream)
                self._open |= {browser, server}
                for source, target in ((browser, server), (server, browser)):
                    arguments = (source, target, source is browser)
                    threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if is_sent:
                    data = data[: self._left_bytes]
                    self._left_bytes -= len(data)
                target.sendall(data)
                if is_sent and not self._left_bytes:
                    self.cut()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def connection(server: Any) -> Iterator[Connection]:
    connection = Connection(server.address)
    yield connection
    connection.close()


def test_a_good_folder_becomes_a_voice_that_speaks(server: Any, page: Page, folder: Path) -> None:
    page.goto("/")
    page.get_by_role("link", name="Contribute a model").click()
    for title in ("GPT-SoVITS", "XTTS"):
        expect(page.get_by_role("heading", name=title)).to_be_visible()
    choose(page, folder)
    expect(page.get_by_role("heading", name="XTTS model")).to_be_visible()
    expect(page.get_by_text("Left out: optimizer.pth.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Anna-s-voice")
    page.get_by_label("Name").fill("anna")
    expect(page.get_by_text("Yours will take the name over")).to_be_visible()
    page.get_by_label("Name").fill("a b")
    expect(page.get_by_role("button", name="Upload")).to_be_disabled()
    page.get_by_label("Name").fill("gold")
    page.get_by_label("Name").press("Enter")
    expect_published(page, "gold")
    assert server.store.resolve("gold").family == "xtts"
    while list(server.store.layout.uploads.iterdir()):  # they are removed once it is known to be published
        page.wait_for_timeout(50)

    page.get_by_role("button", name="Say something").click()
    player = page.get_by_label("A first sentence")
    expect(player).to_be_visible()
    page.wait_for_function("player => player.currentTime > 0", arg=player.element_handle())
    assert server.speech.spoken[0].submission_id == server.store.resolve("gold").id
    page.get_by_role("button", name="Hand in another").click()
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()


def test_what_is_wrong_is_said_before_anything_is_sent(server: Any, page: Page, folder: Path) -> None:
    (folder / "model.pth").rename(folder / "best_model.pth")
    (folder / "optimizer.pth").unlink()
    (folder / "vocab.json").write_bytes(b"")
    (folder / "config.json").write_text("[")
    page.goto("/contribute")
    choose(page, folder)
    problems = page.locator(".problem-file")
    expect(problems).to_have_count(3)
    for file, said in {
        "model.pth": "best_model.pth instead",
        "vocab.json": "an empty file",
        "config.json": "something that isn’t a JSON object",
    }.items():
        expect(problems.filter(has=page.locator("code", has_text=file)).first).to_contain_text(said)
    expect(page.get_by_role("button", name="Mend 3 things first")).to_be_disabled()
    page.get_by_role("button", name="Send best_model.pth as model.pth").click()
    expect(page.get_by_role("button", name="Mend 2 things first")).to_be_disabled()
    assert not server.store.layout.uploads.exists()


def test_a_gpt_sovits_folder_must_name_its_recording(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "kim"
    folder.mkdir()
    for name in ("sovits.pth", "gpt.ckpt", "a.wav"):
        (folder / name).write_bytes(bytes(200_000))
    page.goto("/contribute")
    for settings, said in (
        ({"refText": "Hello."}, "no refFile"),
        ({"refFile": "voices/a.wav", "refText": "Hello."}, "a file name, not a path"),
        ({"refFile": "a.wav", "refText": " … "}, "no refText"),
        ({"refFile": "missing.wav", "refText": "Hello."}, "a.wav instead"),
    ):
        (folder / "config.json").write_text(json.dumps(settings))
        choose(page, folder)
        expect(page.get_by_role("heading", name="GPT-SoVITS model")).to_be_visible()
        expect(page.locator(".problem-file").first).to_contain_text(said)
        page.get_by_role("button", name="Choose again").click()
    (folder / "config.json").write_text(json.dumps({"refFile": "a.wav", "refText": "Hello."}))
    choose(page, folder)
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()


def test_a_refused_submission_is_mended_and_only_what_changed_is_sent(
    server: Any, page: Page, folder: Path
) -> None:
    good = (folder / "config.json").read_text()
    (folder / "config.json").write_text('{"model_args": {}}')
    page.goto("/contribute")
    choose(page, folder)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="can’t be taken yet")).to_be_visible(timeout=LONG_MS)
    problem = page.locator(".problem-file").first
    expect(problem).to_contain_text("config.json")
    for part in ("Found", "Expected", "What to do"):
        expect(problem.get_by_text(part, exact=True).first).to_be_visible()

    announced: list[str] = []
    page.on("request", lambda sent: announced.append(sent.url) if sent.method == "POST" else None)
    (folder / "config.json").write_text(good)
    page.get_by_role("button", name="Choose again").click()
    choose(page, folder)
    expect(page.get_by_text("have arrived already")).to_be_visible()
    page.get_by_role("button", name="Continue the upload").click()
    expect_published(page, "Anna-s-voice")
    assert [url.rpartition("/")[2] for url in announced] == ["uploads", "submissions"], "one file, then all"


def test_a_connection_cut_at_40_percent_is_gone_on_with(
    server: Any, connection: Connection, open_page: Any, folder: Path
) -> None:
    page = open_page(base_url=connection.url)
    page.goto("/contribute")
    choose(page, folder)
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    size = (folder / "model.pth").stat().st_size
    connection.cut_after(size * 2 // 5)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".interrupted")).to_contain_text("The connection is lost")
    while arrived_bytes(server) < 0.3 * size:  # some is still on its way to the disk
        page.wait_for_timeout(50)
    assert arrived_bytes(server) < size / 2

    went_on_at: list[int] = []
    page.on("request", lambda sent: went_on_at.append(_offset(sent)) if sent.method == "PATCH" else None)
    connection.restore()
    # And then the server is stopped while it reads: what arrived is still there and is handed in once more.
    stopped = {"status": "failed", "error": {"message": "", "code": "interrupted", "http_status": 500}}
    page.route(
        "**/v1/submissions/intake-*",
        lambda route: route.fulfill(json={"id": "", "name": "", "progress": None} | stopped),
        times=1,
    )
    with page.expect_request(lambda sent: sent.url.endswith("/v1/submissions") and sent.method == "POST"):
        pass
    with page.expect_request(lambda sent: sent.url.endswith("/v1/submissions") and sent.method == "POST"):
        pass
    expect_published(page, "Anna-s-voice")
    assert max(went_on_at) > 0.3 * size, "what had arrived wasn't sent again"


def _offset(request: Any) -> int:
    return int(request.headers.get("upload-offset", "0"))


def test_a_page_that_is_reloaded_goes_on_with_the_same_folder(
    server: Any, connection: Connection, open_page: Any, folder: Path
) -> None:
    page = open_page(base_url=connection.url)
    page.goto("/contribute")
    choose(page, folder)
    page.get_by_label("Name").fill("gold")
    size = (folder / "model.pth").stat().st_size
    connection.cut_after(size * 2 // 5)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".interrupted")).to_contain_text("The connection is lost")
    connection.restore()
    page.goto("/contribute")
    expect(page.get_by_role("heading", name="The upload of gold isn’t finished")).to_be_visible()
    choose(page, folder)
    expect(page.get_by_label("Name")).to_have_value("gold")
    page.get_by_role("button", name="Continue the upload").click()
    expect(page.get_by_role("heading", name="Checking gold")).to_be_visible()


def test_an_unfinished_upload_is_given_up_on_the_server_as_well(
    server: Any, connection: Connection, open_page: Any, folder: Path
) -> None:
    page = open_page(base_url=connection.url)
    page.goto("/contribute")
    choose(page, folder)
    connection.cut_after((folder / "model.pth").stat().st_size // 2)
    page.get_by_role("button", name="Upload").click()
    expect(page.locator(".interrupted")).to_contain_text("The connection is lost")
    page.get_by_role("button", name="Pause").click()
    connection.restore()
    with page.expect_response(lambda answer: answer.request.method == "DELETE" and answer.status == 204):
        page.get_by_role("button", name="Give it up").click()
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert not list(server.store.layout.uploads.iterdir())


def test_the_key_is_asked_for_once(serve: Any, open_page: Any, folder: Path) -> None:
    server = serve(api_key="secret")
    page = open_page(base_url=server.url)
    page.goto("/contribute")
    choose(page, folder)
    page.get_by_label("API key").fill("secret")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name").fill("gold")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="Checking gold")).to_be_visible()
    page.reload()  # the server reads on
    expect_published(page, "gold")
    page.reload()  # and now there is nothing to go on with
    expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
    expect(page.get_by_text("isn’t finished")).to_have_count(0)


def test_a_folder_is_dropped(page: Page, folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("x")
    page.goto("/contribute")
    box = page.locator(".drop-area").bounding_box()
    assert box is not None
    browser = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        browser.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})
    expect(page.get_by_role("heading", name="XTTS model")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Anna-s-voice")
    expect(page.get_by_text("more/notes.txt")).to_be_visible()


def test_the_page_knows_the_layouts_that_the_server_takes() -> None:
    source = (ROOT / "ui" / "src" / "pages" / "contribute" / "layouts.ts").read_text()
    rows = source.split("family: ")[2:]  # the first is in the type
    shown = {row.split('"')[1]: row for row in rows}
    assert shown.keys() == {layout.family for layout in LAYOUTS}
    for layout in LAYOUTS:
        row = shown[layout.family]
        assert re.findall(r'name: "([^"]+)"', row) == [file.name for file in layout.files]
        telling = re.findall(r'name: "([^"]+)", holds: "[^"]+", tellsFamily', row)
        assert telling == [file.name for file in layout.files if file.tells_family]
        assert f"recording: {json.dumps(layout.recording)}" in row


def test_a_zip_is_chosen_from_the_keyboard_in_korean_on_a_phone(
    open_page: Any, folder: Path, tmp_path: Path
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "anna"), "zip", folder))
    page = open_page(language="ko", width=360, height=700)
    page.goto("/contribute")
    expect(page.get_by_role("heading", name="음성 모델이 있어요")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="파일이나 압축 파일 선택").press("Enter")
    chooser.value.set_files(archive)
    expect(page.get_by_role("heading", name="압축 파일")).to_be_visible()
    expect(page.get_by_label("이름")).to_have_value("anna")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "nothing hangs out at the side"
    )
    page.get_by_role("button", name="다시 선택").press("Enter")
    expect(page.get_by_role("button", name="폴더 선택")).to_be_visible()
