"""The page for people, and the OpenAPI page: built files, sent so that a browser runs nothing else.

`server/page/` is what `make ui` makes of `ui/`. Both pages are open to all: whoever opens one has no header
to put a key in, and neither tells anything about this server.
"""

from __future__ import annotations

import json
import secrets
from importlib.resources import files
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from server.http.schemas import About

PAGE = Path(str(files("server"))) / "page"
DOCS = Path(__file__).parent / "docs"
SWAGGER = Path(fastapi_offline.__file__).parent / "static"

# What stands in the built index.html where each answer has a number of its own.
NONCE_PLACE = "CSP-NONCE"

# blob: what the browser itself made of answers: audio to hear again, files to save.
_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

_FILE_HEADERS = {"X-Content-Type-Options": "nosniff"}
_PAGE_HEADERS = _FILE_HEADERS | {
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

_A_YEAR_S = 31_536_000


class HashedFiles(StaticFiles):
    """Files whose names change with their contents: a browser never asks for one again."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(_FILE_HEADERS)
        response.headers["Cache-Control"] = f"public, max-age={_A_YEAR_S}, immutable"
        return response


class Page:
    """The built page, as it is when the server starts."""

    def __init__(self, folder: Path = PAGE) -> None:
        """Raises RuntimeError where nothing was built."""
        try:
            self._index = (folder / "index.html").read_text(encoding="utf-8")
            manifest = json.loads((folder / "manifest.json").read_bytes())
        except FileNotFoundError as error:
            raise RuntimeError(f"found no built page: {error}; expected it. Run `make ui`.") from None
        self.assets = folder / "assets"
        # A page is src/pages/NAME/index.tsx and everything at /NAME and below; `landing` is at /.
        built = (Path(source).parts for source in manifest if source.startswith("src/pages/"))
        self.names = frozenset(parts[2] for parts in built if parts[3:] == ("index.tsx",)) - {"landing"}

    def response(self) -> HTMLResponse:
        # wavesurfer.js styles its shadow root with an element, which only a nonce allows.
        nonce = secrets.token_urlsafe(16)
        policy = _POLICY.format(styles=f" 'nonce-{nonce}'")
        headers = _PAGE_HEADERS | {"Content-Security-Policy": policy}
        return HTMLResponse(self._index.replace(NONCE_PLACE, nonce), headers=headers)


def install_page(app: FastAPI) -> frozenset[str]:
    """Adds the routes of both pages; returns the first segments of their paths, for who lets them be open."""
    page = Page()

    async def show_page() -> Response:
        return page.response()

    @app.get("/", response_model=About)
    async def about(request: Request) -> Response | About:
        """What this is: the page for browsers, for programs a few words of JSON."""
        is_browser = "text/html" in request.headers.get("accept", "")
        response = (
            page.response()
            if is_browser
            else Response(About().model_dump_json(), media_type="application/json")
        )
        response.headers["Vary"] = "Accept"
        return response

    for name in sorted(page.names):
        for path in (f"/{name}", f"/{name}/{{rest:path}}"):
            app.add_api_route(path, show_page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/assets", GZipMiddleware(HashedFiles(directory=page.assets), minimum_size=1024))
    _install_docs(app)
    return page.names | {"assets", "docs"}


def _install_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        policy = _POLICY.format(styles="")
        return FileResponse(DOCS / "index.html", headers=_PAGE_HEADERS | {"Content-Security-Policy": policy})

    @app.get("/docs/start.js", include_in_schema=False)
    async def start_docs() -> Response:
        return FileResponse(DOCS / "start.js", headers=_FILE_HEADERS | {"Cache-Control": "no-cache"})

    app.mount("/docs/assets", GZipMiddleware(StaticFiles(directory=SWAGGER), minimum_size=1024))
