"""Resumable uploads as tus clients see them, up to the submission that they become."""

from __future__ import annotations

import base64
import hashlib
import io
import socket
import time
import zipfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime

import httpx
import pytest

from server.http import tus

PIECE = "application/offset+octet-stream"


class Tus:
    """A client of the protocol, request by request."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def create(self, name: str = "model.pth", length: int = 11, body: bytes = b"", **fields: str):
        pairs = {"filename": name} | fields
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items()
        )
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(length), "Upload-Metadata": metadata}
        if body:
            headers["Content-Type"] = PIECE
        return self.http.post("/v1/uploads", headers=headers, content=body)

    def patch(self, location: str, offset: int | str, body, **headers: str):
        sent = {"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset), "Content-Type": PIECE}
        return self.http.patch(location, headers=sent | headers, content=body)

    def head(self, location: str):
        return self.http.head(location, headers={"Tus-Resumable": "1.0.0"})

    def delete(self, location: str):
        return self.http.delete(location, headers={"Tus-Resumable": "1.0.0"})

    def send(self, name: str, content: bytes, **fields: str) -> str:
        """All of a file; returns where it is."""
        created = self.create(name, len(content), **fields)
        assert created.status_code == 201, created.text
        location = created.headers["Location"]
        assert self.patch(location, 0, content).status_code == 204
        return location


@pytest.fixture
def client(server) -> Tus:
    return Tus(server.http)


def test_a_file_arrives_in_pieces(client):
    created = client.create(length=11)
    assert (created.status_code, created.headers["Tus-Resumable"]) == (201, "1.0.0")
    location = created.headers["Location"]
    assert client.head(location).headers["Upload-Offset"] == "0"
    patched = client.patch(location, 0, b"first")
    assert (patched.status_code, patched.headers["Upload-Offset"], patched.content) == (204, "5", b"")
    assert client.patch(location, 5, b"second").headers["Upload-Offset"] == "11"
    head = client.head(location)
    assert (head.status_code, head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (
        200,
        "11",
        "11",
    )
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Upload-Metadata"] == f"filename {base64.b64encode(b'model.pth').decode()}"
    expires = parsedate_to_datetime(head.headers["Upload-Expires"]).timestamp()
    assert 71.9 * 3600 < expires - time.time() <= 72 * 3600


def test_the_first_piece_may_come_with_the_announcement(client):
    created = client.create(length=11, body=b"first")
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "5")
    assert client.create(length=4, body=b"first").status_code == 413


def test_an_empty_file_is_complete_at_once(client):
    location = client.create(length=0).headers["Location"]
    assert client.head(location).headers["Upload-Offset"] == "0"


def test_the_server_says_what_it_can_do(serve):
    http = serve(max_upload_gib=0.5).http
    told = http.options("/v1/uploads")
    assert told.status_code == 204
    assert told.headers["Tus-Version"] == "1.0.0"
    assert told.headers["Tus-Max-Size"] == str(2**29)
    assert set(told.headers["Tus-Extension"].split(",")) >= {
        "checksum",
        "creation",
        "termination",
        "expiration",
    }
    assert told.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert http.options("/v1/uploads?purpose=parade").status_code == 422
    too_large = Tus(http).create(length=2**29 + 1)
    assert (too_large.status_code, too_large.json()["error"]["code"]) == (413, "upload_too_large")


def test_every_answer_says_the_version_and_every_request_must(client):
    location = client.create().headers["Location"]
    for headers in ({}, {"Tus-Resumable": "0.2.2"}):
        for refused in (
            client.http.post("/v1/uploads", headers=headers),
            client.http.head(location, headers=headers),
            client.http.patch(location, headers=headers),
            client.http.delete(location, headers=headers),
        ):
            assert refused.status_code == 412
            assert (refused.headers["Tus-Resumable"], refused.headers["Tus-Version"]) == ("1.0.0", "1.0.0")


@pytest.mark.parametrize("upload_id", ["0" * 32, "x", "..%2F..%2Fstore", "%00"])
def test_an_upload_that_nobody_knows_is_a_404(client, upload_id):
    location = f"/v1/uploads/{upload_id}"
    assert client.head(location).status_code == 404
    assert client.delete(location).status_code == 404
    assert client.patch(location, 0, b"x").status_code == 404


def test_a_piece_for_another_place_is_a_409(client):
    location = client.create().headers["Location"]
    client.patch(location, 0, b"first")
    for offset in (0, 4, 6, 10):
        refused = client.patch(location, offset, b"x")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "upload_conflict")
        assert refused.headers["Tus-Resumable"] == "1.0.0"
    assert client.head(location).headers["Upload-Offset"] == "5"


@pytest.mark.parametrize("offset", ["-1", "x", "", "5.0", "٥", "9" * 30])
def test_an_offset_that_is_no_number_is_a_400(client, offset):
    location = client.create().headers["Location"]
    assert client.patch(location, offset.encode(), b"x").status_code == 400


def test_a_piece_that_is_too_long_is_a_413(client):
    location = client.create(length=8).headers["Location"]
    assert client.patch(location, 0, b"x" * 9).status_code == 413
    assert client.head(location).headers["Upload-Offset"] == "0"
    # Without a length it shows only when it comes: what fits in whole pieces may stay, the rest may not.
    assert client.patch(location, 0, iter([b"x" * 9])).status_code == 413
    assert int(client.head(location).headers["Upload-Offset"]) <= 8


def checksum(algorithm: str, content: bytes) -> dict[str, str]:
    digest = base64.b64encode(hashlib.new(algorithm, content).digest()).decode()
    return {"Upload-Checksum": f"{algorithm} {digest}"}


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_piece_that_is_not_what_was_sent_is_a_460_and_nothing_of_it_is_kept(client, server, algorithm):
    content = bytes(range(256)) * 20_000  # several writes
    damaged = content[:-1] + b"?"
    location = client.create(length=5 + len(content), body=b"first").headers["Location"]
    refused = client.patch(location, 5, damaged, **checksum(algorithm, content))
    assert (refused.status_code, refused.json()["error"]["code"]) == (460, "checksum_mismatch")
    assert client.head(location).headers["Upload-Offset"] == "5"
    kept = client.patch(location, 5, content, **checksum(algorithm, content))
    assert (kept.status_code, kept.headers["Upload-Offset"]) == (204, str(5 + len(content)))
    folder = server.store.layout.uploads / location.rpartition("/")[2]
    assert (folder / "content").read_bytes() == b"first" + content
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "content"]


@pytest.mark.parametrize("sent", ["md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha1", "sha1 §", "sha256 not-base64"])
def test_a_checksum_that_cannot_be_read_is_a_400(client, sent):
    location = client.create(length=5).headers["Location"]
    refused = client.patch(location, 0, b"first", **{"Upload-Checksum": sent.encode("latin-1")})
    assert refused.json()["error"]["code"] == "invalid_upload_checksum"
    assert refused.status_code == 400
    assert client.head(location).headers["Upload-Offset"] == "0"


def test_a_piece_of_another_type_is_a_415(client):
    location = client.create().headers["Location"]
    assert client.patch(location, 0, b"x", **{"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload-Length": "x", "Upload-Metadata": "filename YQ=="}, 400),
        ({"Upload-Length": "-1", "Upload-Metadata": "filename YQ=="}, 400),
        ({"Upload-Defer-Length": "1", "Upload-Metadata": "filename YQ=="}, 400),
        ({"Upload-Length": "1"}, 400),
        ({"Upload-Length": "1", "Upload-Metadata": "filename"}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "filename ?"}, 400),
        ({"Upload-Length": "1", "Upload-Metadata": "filename /w=="}, 400),  # not UTF-8
        ({"Upload-Length": "1", "Upload-Metadata": "filename YQ==,purpose eA=="}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "filename YQ==,group Lw=="}, 422),
        ({"Upload-Length": "1", "Upload-Metadata": "filename YQ==,x " + "YQ==" * 2000}, 413),
        ({"Upload-Length": "1", "Upload-Metadata": "filename Li4vLi4vZXNjYXBlZA=="}, 422),  # ../../escaped
        ({"Upload-Length": "1", "Upload-Metadata": "filename L2V0Yy9wYXNzd2Q="}, 422),  # /etc/passwd
    ],
)
def test_an_announcement_that_cannot_be_is_refused(client, server, headers, status):
    refused = client.http.post("/v1/uploads", headers={"Tus-Resumable": "1.0.0"} | headers)
    assert refused.status_code == status
    assert "found" in refused.json()["error"]["message"]
    assert not server.store.layout.uploads.exists() or not list(server.store.layout.uploads.iterdir())


def test_no_room_is_a_507(client, monkeypatch):
    monkeypatch.setattr(
        "models_store.resumable_uploads.shutil.disk_usage", lambda _: type("Usage", (), {"free": 20})
    )
    refused = client.create(length=11)
    assert refused.status_code == 507
    assert "found 20 bytes free; expected 22" in refused.json()["error"]["message"]


def test_an_upload_is_given_up(client):
    location = client.create().headers["Location"]
    assert client.delete(location).status_code == 204
    assert client.head(location).status_code == 404


def test_the_key_is_asked_for(serve):
    http = serve(api_key="secret").http
    assert Tus(http).create().status_code == 401
    http.headers["Authorization"] = "Bearer secret"
    assert Tus(http).create().status_code == 201


def broken_patch(address: str, location: str, offset: int, length: int, body: bytes) -> socket.socket:
    """A piece of which only `body` is sent; the connection stays open."""
    host, port = address.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        f"PATCH {location} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n"
        f"Content-Type: {PIECE}\r\nContent-Length: {length}\r\n\r\n".encode()
        + body
    )
    return connection


def wait_for_offset(client: Tus, location: str, offset: int) -> None:
    until = time.monotonic() + 20
    while int(client.head(location).headers["Upload-Offset"]) != offset:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_came_before_the_connection_dropped_stays(client, server):
    content = bytes(range(256)) * 10_000
    location = client.create(length=len(content)).headers["Location"]
    # Also the part that is less than what is worth a write.
    broken_patch(server.address, location, 0, len(content), content[:1_500_000]).close()
    wait_for_offset(client, location, 1_500_000)
    assert client.patch(location, 1_500_000, content[1_500_000:]).status_code == 204
    upload_id = location.rpartition("/")[2]
    assert (server.store.layout.uploads / upload_id / "content").read_bytes() == content


def test_a_dead_connection_is_in_nobodys_way(client, server):
    content = bytes(range(256)) * 10_000
    location = client.create(length=len(content)).headers["Location"]
    with broken_patch(server.address, location, 0, len(content), content[: 2**20]) as dead:
        wait_for_offset(client, location, 2**20)
        assert client.patch(location, 2**20, content[2**20 : 2**21]).status_code == 204
        # It wakes up, late: what it brings is for a place that is taken.
        dead.sendall(content[2**20 :])
        assert b" 409 " in dead.recv(1000)
        assert client.patch(location, 2**21, content[2**21 :]).headers["Upload-Offset"] == str(len(content))
    upload_id = location.rpartition("/")[2]
    assert (server.store.layout.uploads / upload_id / "content").read_bytes() == content


def test_a_connection_that_brings_nothing_is_given_up(client, server, monkeypatch):
    monkeypatch.setattr(tus, "IDLE_S", 0.1)
    location = client.create(length=100).headers["Location"]
    with broken_patch(server.address, location, 0, 100, b"x" * 40) as idle:
        assert b" 408 " in idle.recv(1000)
    assert client.head(location).headers["Upload-Offset"] == "40"


# From uploads to a submission


@pytest.fixture
def upload_folder(client, golden_folder) -> Callable[..., dict[str, str]]:
    """Sends the golden submission's files, some with other content; returns where each is."""

    def upload(**other: bytes) -> dict[str, str]:
        contents = {path.name: path.read_bytes() for path in sorted(golden_folder.iterdir())}
        contents |= {name.replace("_json", ".json"): content for name, content in other.items()}
        return {name: client.send(name, content, group="g") for name, content in contents.items()}

    return upload


def submit(server, name: str, locations) -> httpx.Response:
    body = {"name": name, "uploads": [*locations]}
    return server.http.post("/v1/submissions?wait=true", json=body, timeout=60)


def test_uploads_become_a_submission_and_are_gone(server, client, upload_folder):
    locations = upload_folder()
    published = submit(server, "gold", locations.values())
    assert published.status_code == 201, published.text
    assert server.store.resolve("gold").id == published.json()["submission_id"]
    until = time.monotonic() + 20
    while list(server.store.layout.uploads.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert client.head(locations["model.pth"]).status_code == 404
    assert not list(server.store.layout.scratch.iterdir())


def test_an_archive_becomes_a_submission(server, client, golden_folder):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in golden_folder.iterdir():
            archive.write(path, path.name)
    location = client.send("anna.zip", data.getvalue())
    assert submit(server, "gold", [location.rpartition("/")[2]]).status_code == 201


def test_of_a_refused_submission_only_what_is_mended_is_sent_again(
    server, client, upload_folder, golden_folder
):
    locations = upload_folder(config_json=b"{}")
    refused = submit(server, "gold", locations.values())
    assert refused.status_code == 422
    assert {problem["file"] for problem in refused.json()["error"]["problems"]} == {"config.json"}
    locations["config.json"] = client.send("config.json", (golden_folder / "config.json").read_bytes())
    assert submit(server, "gold", locations.values()).status_code == 201


def test_an_upload_that_is_not_complete_is_not_taken(server, client):
    location = client.create("model.pth", 10).headers["Location"]
    refused = submit(server, "gold", [location])
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "upload_conflict")
    assert "found 0 of 10 bytes" in refused.json()["error"]["message"]
    assert not list(server.store.layout.scratch.iterdir())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "x"}, 422, "found no `uploads`"),
        ({"uploads": ["0" * 32]}, 422, "found no `name`"),
        ({"name": "x", "uploads": []}, 422, "`uploads`"),
        ({"name": "../x", "uploads": ["0" * 32]}, 422, "'../x'"),
        ({"name": "x", "uploads": ["0" * 32]}, 404, "Send the file again"),
        ({"name": "x", "uploads": ["../../etc"]}, 404, "no upload"),
        ([], 422, "JSON object"),
        ({"name": "x" * 2**20, "uploads": ["0" * 32]}, 413, "JSON body"),
    ],
)
def test_a_list_of_uploads_that_cannot_be_is_refused(server, body, status, said):
    refused = server.http.post("/v1/submissions", json=body)
    assert refused.status_code == status
    assert said in refused.json()["error"]["message"]
    assert not list(server.store.layout.scratch.iterdir())


def test_a_body_that_is_no_json_is_refused(server):
    refused = server.http.post(
        "/v1/submissions", content=b"{", headers={"content-type": "application/json; charset=utf-8"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")
