"""What every request passes before anything is done for it: who asks, by which name, how much and how fast."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.serve.settings import Settings
from retrieval.serve.uploads import FIELD_BYTES

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}
MOST_ADDRESSES = 4096
SESSION = "/api/session"


def fingerprint(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hmac.new(token.encode(), b"session", hashlib.sha256).hexdigest()


def cookie_name(token: str) -> str:
    """Cookies do not know ports: services of one machine are told apart by their tokens."""
    return "retrieval_" + hashlib.sha256(token.encode()).hexdigest()[:12]


class Rate:
    """A bucket per address that fills by `per_minute` and holds as much."""

    def __init__(self, per_minute: int):
        self.per_minute = per_minute
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, address: str, cost: float = 1.0) -> float:
        """Take `cost` out and return 0; or take nothing and return the seconds until there is enough."""
        now = time.monotonic()
        left, then = self._left.pop(address, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - then) * self.per_minute / 60)
        granted = left >= cost
        self._left[address] = (left - cost if granted else left, now)
        if len(self._left) > MOST_ADDRESSES:  # the one that has been quiet for longest
            del self._left[next(iter(self._left))]
        return 0.0 if granted else (cost - left) * 60 / self.per_minute


class Guards:
    """Wraps the service. Requests for data need the token; the empty page does not, for it asks for it."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._settings = settings
        self._requests = Rate(settings.limits.requests_per_minute)
        self._uploads = Rate(settings.limits.uploads_per_minute)
        self._guesses = Rate(settings.limits.guesses_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        assert scope["type"] == "http", "the server speaks nothing else"
        headers = Headers(scope=scope)

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in HEADERS.items():
                    told[name] = value
                told.setdefault("cache-control", "no-store")
                if message["status"] in (408, 413):
                    told["connection"] = "close"  # what has not been read must not be taken for the next request
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, sealed)
            return
        await self._app(scope, self._limited(scope, receive), sealed)

    def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        path, method = scope["path"], scope["method"]
        address = (scope.get("client") or ("",))[0]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._settings.allows(hosts[0]):
            return _no(400, "this service is not called that; use the address it printed, or start it with that name")
        if wait := self._requests.wait(address):
            return _no(429, "too many requests", wait)
        private = path.startswith(("/api/", "/media/"))
        if private and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _no(403, "other sites may not ask here")
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != hosts[0].strip().lower():
            return _no(403, "other sites may not ask here")
        if private and self._settings.token and not self._knows(headers):
            if wait := self._guesses.wait(address):
                return _no(429, "too many wrong tokens", wait)
            return _no(401, "a token is needed: the service printed it when it was started")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._most_bytes(path):
            return _no(413, f"a request here may have at most {self._most_bytes(path)} bytes")
        if method == "POST" and _is_upload(headers) and (wait := self._uploads.wait(address)):
            return _no(429, "too many uploads", wait)
        return None

    def _knows(self, headers: Headers) -> bool:
        token = self._settings.token
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), token.encode())
        kept = cookie_parser(headers.get("cookie", "")).get(cookie_name(token), "")
        return hmac.compare_digest(kept.encode(), fingerprint(token).encode())

    def _most_bytes(self, path: str) -> int:
        takes_files = path == "/api/search/upload" or path.endswith("/heat")
        return self._settings.limits.upload_bytes + FIELD_BYTES if takes_files else FIELD_BYTES

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body, as far as it is not too long and does not take too long; chunks may have no stated length."""
        most, seconds = self._most_bytes(scope["path"]), self._settings.limits.body_seconds
        begun, taken, whole = time.monotonic(), 0, False

        async def limited() -> Message:
            nonlocal taken, whole
            if whole:  # what comes after the body is the end of the connection, which may take as long as it likes
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, begun + seconds - time.monotonic()))
            except TimeoutError:
                raise HTTPException(408, f"the request did not arrive within {seconds:g} s") from None
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > most:
                raise HTTPException(413, f"a request here may have at most {most} bytes")
            return message

        return limited


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # such as an address whose bracket is not closed
        return ""


def _is_upload(headers: Mapping[str, Any]) -> bool:
    return str(headers.get("content-type", "")).lower().startswith("multipart/")


def _no(status: int, reason: str, wait: float = 0.0) -> JSONResponse:
    return JSONResponse({"error": reason}, status, {"retry-after": str(int(wait) + 1)} if wait else None)
