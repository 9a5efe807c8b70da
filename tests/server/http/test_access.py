"""Who may call, from where, with how much: keys, origins, body limits."""

from __future__ import annotations

import errno
import socket
import time

import pytest

KEY = "sésame-ouvre-toi"


def bearer(key: str) -> dict[str, bytes]:
    return {"Authorization": b"Bearer " + key.encode()}


PROTECTED = [
    ("POST", "/v1/audio/speech"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/anna"),
    ("POST", "/v1/audio/voices"),
    ("GET", "/v1/audio/voices/x"),
    ("DELETE", "/v1/audio/voices/x"),
    ("GET", "/v1/submissions"),
    ("POST", "/v1/submissions"),
    ("PUT", "/v1/submissions/anna"),
    ("GET", "/metrics"),
    ("POST", "/"),
    ("GET", "/tts"),
    ("POST", "/tts"),
    ("GET", "/speakers"),
    ("GET", "/set_gpt_weights"),
    ("GET", "/set_sovits_weights"),
    ("GET", "/set_refer_audio"),
    ("GET", "/control"),
    ("GET", "/anything/else"),
    ("DELETE", "/v1/submissions/anna"),  # last: with the key it is done
]
NOT_THE_KEY = [
    {},
    bearer("wrong"),
    bearer(KEY[:-1]),
    bearer(KEY + "x"),
    {"Authorization": b"Bearer"},
    {"Authorization": KEY.encode()},
    {"Authorization": b"Basic " + KEY.encode()},
]


def test_without_the_key_nothing_is_done(serve):
    server = serve(api_key=KEY)
    for method, path in PROTECTED:
        for headers in NOT_THE_KEY:
            response = server.http.request(method, path, headers=headers)
            assert response.status_code == 401, (method, path, headers)
            error = response.json()["error"]
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["x-request-id"]
    assert list(server.store.names()) == ["anna"]
    for method, path in PROTECTED:
        assert server.http.request(method, path, headers=bearer(KEY)).status_code != 401, (method, path)


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/v1/audio/models", "/v1/audio/voices"]
)
def test_some_pages_are_for_everybody(serve, path):
    server = serve(api_key=KEY)
    assert server.http.get(path).status_code == 200
    assert server.http.head(path).status_code != 401


def test_an_open_page_is_not_open_to_other_methods(serve):
    server = serve(api_key=KEY)
    assert server.http.post("/v1/audio/voices", files={"file": b"x"}).status_code == 401


def test_an_upload_without_the_key_is_refused_before_it_is_sent(serve):
    server = serve(api_key=KEY)
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/submissions?name=x HTTP/1.1\r\nHost: {server.address}\r\n"
            "Content-Type: application/zip\r\nContent-Length: 1000000000\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")


# Browsers


def test_browsers_of_listed_origins_may_call_and_read_our_headers(serve):
    server = serve(cors_origins=("https://tavern.example",), api_key=KEY)
    origin = {"Origin": "https://tavern.example"}
    preflight = server.http.options(
        "/v1/audio/speech",
        headers=origin
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://tavern.example"
    spoken = server.http.post(
        "/v1/audio/speech", json={"model": "anna", "input": "hi"}, headers=origin | bearer(KEY)
    )
    assert spoken.status_code == 200
    assert spoken.headers["access-control-allow-origin"] == "https://tavern.example"
    assert "x-request-id" in spoken.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in spoken.headers
    refused = server.http.get("/v1/models", headers=origin)
    assert refused.status_code == 401
    assert "access-control-allow-origin" in refused.headers, "so that the page can read why"


def test_a_foreign_page_cannot_submit_through_somebodys_browser(server):
    for path in ("/v1/submissions", "/v1/audio/voices", "/v1/audio/speech"):
        response = server.http.post(
            path, files={"file": b"x"}, data={"name": "evil"}, headers={"Origin": "https://evil.example"}
        )
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "foreign_origin"
    assert server.http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 200


@pytest.mark.parametrize("origins", [(), ("*",)])
def test_our_own_pages_and_where_any_may_call_all_pages(serve, origins):
    server = serve(cors_origins=origins)
    origin = "https://any.example" if origins else server.url
    response = server.http.post(
        "/v1/audio/speech", json={"model": "anna", "input": "hi"}, headers={"Origin": origin}
    )
    assert response.status_code == 200


# Bodies


def test_a_json_body_has_a_limit(server):
    body = {"model": "anna", "input": "hi", "padding": "x" * 2**20}
    response = server.http.post("/v1/audio/speech", json=body)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


def test_the_limit_holds_where_no_length_was_announced(server):
    def endless():
        yield b'{"input": "'
        for _ in range(1000):
            yield b"x" * 65536

    response = server.http.post(
        "/v1/audio/speech", content=endless(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/v1/submissions?name=x", {"max_upload_gib": 0.001}),
        ("/v1/audio/voices", {"max_voice_upload_mib": 0.5}),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_uploads_have_their_own_limits(serve, path, limit, announced):
    server = serve(**limit)
    size = 3 * 2**20

    def pieces():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.zip"\r\n\r\n'
        for _ in range(size // 4096):
            yield b"\0" * 4096
        yield b"\r\n--x--\r\n"

    content = b"".join(pieces()) if announced else pieces()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = server.http.post(path, content=content, headers=headers)
    assert response.status_code == 413
    assert not list(server.store.layout.scratch.iterdir()), "what had arrived is gone"


def test_only_uploads_have_the_limits_of_uploads(server):
    body = {"submission": "anna", "padding": "x" * 2**20}
    assert server.http.put("/v1/submissions/anna-2", json=body).status_code == 413


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(server):
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /v1/submissions?name=x HTTP/1.1\r\nHost: {server.address}\r\n"
            "Content-Type: application/zip\r\nContent-Length: 1000000\r\n\r\nPK".encode()
        )
        until = time.monotonic() + 10
        while not list(server.store.layout.scratch.iterdir()):
            assert time.monotonic() < until
            time.sleep(0.005)
    while list(server.store.layout.scratch.iterdir()):
        assert time.monotonic() < until, "what had arrived is still there"
        time.sleep(0.005)


def test_a_full_disk_is_the_operators(server, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("server.http.uploads._BareBody.write", full)
    response = server.http.post(
        "/v1/submissions?name=x", content=b"x", headers={"content-type": "application/zip"}
    )
    assert response.status_code == 507
    assert response.json()["error"]["code"] == "storage_error"


@pytest.mark.parametrize("path", ["/nothing", "/v1/audio", "/v1/models/"])
def test_what_is_not_there_is_a_404_in_the_same_shape(server, path):
    response = server.http.get(path, follow_redirects=False)
    if response.status_code != 307:
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "not_found"
