"""The HTTP API: questions in, moments out. Everything here is small and waits; the work is done in threads."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from retrieval.query import Term
from retrieval.regions import KIND
from retrieval.segment import Vectors
from retrieval.serve import answers
from retrieval.serve.answers import Asked, NoSuchRow
from retrieval.serve.collection import Collection, View
from retrieval.serve.encoder import KINDS, Encoder, Sought, as_lists
from retrieval.serve.guards import SESSION, Guards, cookie_name, fingerprint
from retrieval.serve.media import Recording, locate
from retrieval.serve.openapi import describe
from retrieval.serve.question import Question, parse, parse_filters
from retrieval.serve.settings import Settings
from retrieval.serve.uploads import Upload, as_json, upload

HEAT_SECONDS = 20.0
"""most of a moment that a heat map is made for, around its best second"""
SEARCHES_AT_ONCE = 4
PAGE_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript"}
T = TypeVar("T")


class Service:
    """Answers requests from a collection, and from an encoder where there is one. `folder` is for uploads."""

    def __init__(self, collection: Collection, encoder: Encoder | None, settings: Settings, folder: Path):
        self._collection, self._encoder, self._settings, self._folder = collection, encoder, settings, folder
        if encoder is not None:
            collection.keep_to(encoder.space)
        self._searches = anyio.CapacityLimiter(SEARCHES_AT_ONCE)
        self._network = anyio.CapacityLimiter(1)
        self._waiting = 0
        self._uploads = 0
        page = resources.files("retrieval.serve") / "page"
        # Read once: what a request names is looked for among these and nowhere else.
        self._page = {file.name: file.read_bytes() for file in page.iterdir() if Path(file.name).suffix in PAGE_TYPES}

    def app(self) -> ASGIApp:
        """The ASGI application, behind its guards."""
        routes = [
            Route("/", self.index),
            Route("/page/{name}", self.file),
            Route("/openapi.json", self.openapi),
            Route(SESSION, self.session, methods=["POST"]),
            Route("/api/info", self.info),
            Route("/api/items", self.items),
            Route("/api/items/{id:int}", self.item),
            Route("/api/items/{id:int}/heat", self.heat, methods=["POST"]),
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/search/upload", self.search_upload, methods=["POST"]),
            Route("/media/{id:int}", self.media),
        ]
        told: Any = {HTTPException: _http_error, NoSuchRow: _error(404), ValueError: _error(400), Exception: _broken}
        told[TimeoutError], told[ClientDisconnect] = _error(422), _gone
        return Guards(Starlette(routes=routes, exception_handlers=told), self._settings)

    async def index(self, request: Request) -> Response:
        """The page."""
        return self._page_file("index.html")

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        return self._page_file(request.path_params["name"])

    async def openapi(self, request: Request) -> Response:
        """What this is, for programs."""
        return JSONResponse(describe(self._settings))

    async def session(self, request: Request) -> Response:
        """The token, which the guard has checked, becomes a cookie, for players cannot send headers."""
        response = Response(status_code=204)
        if token := self._settings.token:
            response.set_cookie(cookie_name(token), fingerprint(token), httponly=True, samesite="strict", path="/")
        return response

    async def info(self, request: Request) -> Response:
        """What the store holds and what can be asked."""
        return JSONResponse(await self._in_thread(self._info))

    async def items(self, request: Request) -> Response:
        """Browse without a query."""
        asked = dict(request.query_params)
        limits = self._settings.limits
        filters = parse_filters(as_json(asked.pop("filters", "{}")), limits)
        among, even = asked.pop("among", ""), asked.pop("even", "false") == "true"
        offset, limit = _whole(asked.pop("offset", "0"), 2**62), _whole(asked.pop("limit", "24"), limits.most_hits)
        if asked:
            raise ValueError("browse with among, filters, offset, limit and even")
        view = await self._now()
        parse({"among": among}, view.store.space.modalities, limits)
        browsed = await self._in_thread(lambda: answers.browse(view, filters, among, offset, limit, even))
        return JSONResponse(browsed)

    async def item(self, request: Request) -> Response:
        """One row as a moment."""
        view, identity = await self._now(), _identity(request)
        return JSONResponse(await self._in_thread(lambda: answers.one(view, identity)))

    async def search(self, request: Request) -> Response:
        """By text, by item, or by both together, away from what is not wanted."""
        view = await self._now()
        question = parse(as_json(await request.body()), view.store.space.modalities, self._settings.limits)
        if not question.text and question.item is None:
            raise ValueError("search with text, with an item, or with both; minus alone finds nothing")
        return await self._answered(view, await self._asked(view, question))

    async def search_upload(self, request: Request) -> Response:
        """By a picture, a sound or a clip, or away from one; with text or an item, by all of it together."""
        async with self._received(request) as sent:
            for path, kind, name in ((sent.path, sent.kind, "kind"), (sent.minus, sent.minus_kind, "minus_kind")):
                if path is not None and kind not in KINDS[1:]:
                    raise ValueError(f"{name} must be one of {', '.join(KINDS[1:])}")
            view = await self._now()
            question = parse(sent.question, view.store.space.modalities, self._settings.limits)
            if sent.path is None and not question.text and question.item is None:
                raise ValueError("search with a file, with text or with an item; minus alone finds nothing")
            asked = await self._asked(view, question, sent)
        return await self._answered(view, asked)

    async def heat(self, request: Request) -> Response:
        """Where words, an uploaded sound, or the recording's own sound is in a moment."""
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            async with self._received(request) as sent:
                if sent.path is None or sent.minus is not None:
                    raise ValueError("a heat map is of one sound: send it as file")
                return await self._heat(_identity(request), sent.question, sent)
        return await self._heat(_identity(request), as_json(await request.body() or b"{}"), None)

    async def media(self, request: Request) -> Response:
        """The recording of a row."""
        view, identity = await self._now(), _identity(request)
        row = await self._in_thread(lambda: answers.row_of(view, identity))
        return await self._in_thread(lambda: Recording(row.path, self._settings.media, request.headers))

    async def _asked(self, view: View, question: Question, sent: Upload | None = None) -> Asked:
        """What the network makes of the words and files of a question."""
        words = await self._words(question.text) if question.text else None
        media = None
        if sent is not None and sent.path is not None:
            media = await self._embedded(sent.kind, sent.path, sent)
        unwanted = [Term((await self._words(one.text))[0], -one.weight, "text") for one in question.minus if one.text]
        if sent is not None and sent.minus is not None:
            away = answers.mean_of(await self._embedded(sent.minus_kind, sent.minus, sent))
            unwanted.append(Term(away, -1.0, sent.minus_kind))
        sought = None
        if view.store.sides(KIND):
            sought = await self._sought(question, sent)
        return Asked(question, words, media, sent.kind if sent else "", tuple(unwanted), sought)

    async def _answered(self, view: View, asked: Asked) -> Response:
        def work() -> tuple[list[Any], str]:
            regions, trouble = self._collection.regions(view) if asked.sought is not None else (None, "")
            return answers.find(view, asked, regions), trouble

        moments, trouble = await self._in_thread(work)
        return JSONResponse({"moments": moments, "behind": view.behind or trouble})

    async def _sought(self, question: Question, sent: Upload | None) -> Sought | None:
        """Of the words, else of the sound that was sent: what to look for in pictures."""
        if question.text and self._encoder is not None and "text" in self._encoder.localizes:
            return await self._ask("text", lambda encoder: encoder.seek("text", question.text))
        path = sent.path if sent is not None and sent.kind == "audio" else None
        if path is None or self._encoder is None or "audio" not in self._encoder.localizes:
            return None
        return await self._ask("audio", lambda encoder: encoder.seek("audio", path), sent)

    async def _embedded(self, kind: str, path: Path, sent: Upload) -> Vectors:
        return await self._ask(kind, lambda encoder: encoder.embed(kind, path), sent)

    async def _heat(self, identity: int, asked: Any, sent: Upload | None) -> Response:
        view = await self._now()
        row = await self._in_thread(lambda: answers.row_of(view, identity))
        if not isinstance(asked, dict) or set(asked) - {"text", "start", "end"}:
            raise ValueError("a heat map is asked for with text, start and end, or less")
        span = {"since": asked.get("start", row.start), "until": asked.get("end", row.end)}
        filters = parse_filters(span, self._settings.limits)
        text = parse({"text": asked.get("text", "")}, (), self._settings.limits).text
        start, end = filters.since or 0.0, filters.until or 0.0
        if not 0 <= start <= end:
            raise ValueError("a moment starts at 0 or later and ends after it starts")
        end = min(end, start + HEAT_SECONDS)
        kind, given = ("text", text) if text else ("audio", sent.path if sent else None)
        if self._encoder is None or kind not in self._encoder.localizes:
            raise HTTPException(501, "the network behind this store does not say where something is")
        path = locate(row.path, self._settings.media)
        made = await self._ask(None, lambda encoder: encoder.localize(path, start, end, kind, given), sent)
        return JSONResponse(as_lists(made))

    async def _ask(self, kind: str | None, work: Callable[[Encoder], T], sent: Upload | None = None) -> T:
        """Work of the network, one at a time; those that come when too many wait are told so."""
        encoder = self._encoder
        if encoder is None:
            raise HTTPException(501, "this service knows no network: search by item, or start it with avssl serve")
        if kind is not None and kind not in encoder.kinds:
            raise HTTPException(501, f"the network behind this store cannot search with {kind}")
        if self._waiting >= self._settings.limits.waiting:
            raise HTTPException(503, "too many questions at once; try again", {"retry-after": "2"})
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(work, encoder, limiter=self._network)
        except ValueError as error:
            raise ValueError(sent.unnamed(str(error)) if sent else str(error)) from None
        finally:
            self._waiting -= 1

    async def _now(self) -> View:
        return await self._in_thread(self._collection.now)

    @asynccontextmanager
    async def _received(self, request: Request) -> AsyncIterator[Upload]:
        """The upload of a request; so many at once, because each takes its size on the disk."""
        if self._uploads >= self._settings.limits.uploads_at_once:
            raise HTTPException(503, "too many uploads at once; try again", {"retry-after": "2"})
        self._uploads += 1
        try:
            async with upload(request, self._folder) as sent:
                yield sent
        finally:
            self._uploads -= 1

    async def _words(self, text: str) -> Vectors:
        return await self._ask("text", lambda encoder: encoder.embed("text", text))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._searches)

    def _info(self) -> dict[str, Any]:
        view, limits, encoder = self._collection.now(), self._settings.limits, self._encoder
        return {
            "name": self._collection.directory.resolve().name,
            "moments": len(view.store),
            "usual": answers.usual(view),
            "kinds": list(encoder.kinds) if encoder else [],
            "localizes": list(encoder.localizes) if encoder else [],
            "behind": view.behind,
            "limits": {
                "upload_bytes": limits.upload_bytes,
                "upload_seconds": limits.upload_seconds,
                "text_characters": limits.text_characters,
                "most_hits": limits.most_hits,
            },
            **self._collection.facets(view),
        }

    def _page_file(self, name: str) -> Response:
        if name not in self._page:
            raise HTTPException(404, "there is no such page")
        headers = {"content-type": PAGE_TYPES[Path(name).suffix], "cache-control": "no-cache"}
        return Response(self._page[name], headers=headers)


def _identity(request: Request) -> int:
    identity: int = request.path_params["id"]
    if identity >= 2**63 - 1:
        raise NoSuchRow("the store holds no such id")
    return identity


def _whole(text: str, most: int) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > 19 or int(text) > most:
        raise ValueError(f"offset and limit are whole numbers; at most {most} here")
    return int(text)


def _error(status: int) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": " ".join(str(error).split())}, status)

    return answer


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _gone(request: Request, error: Exception) -> Response:
    """Who asked went away in the middle of it: nobody reads this, and nothing is wrong."""
    return Response(status_code=400)


def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "something went wrong here; the terminal of the service tells what"}, 500)
