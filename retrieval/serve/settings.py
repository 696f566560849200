"""What a running service allows, and where it listens."""

import ipaddress
import secrets
from dataclasses import dataclass, field
from pathlib import Path

LEAST_TOKEN = 16
EVERYWHERE = ("0.0.0.0", "::")
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """What one client may ask for. Seconds, bytes, and counts per minute and address."""

    upload_bytes: int = 64 << 20
    upload_seconds: float = 600.0
    """longest recording that is searched with; its end is not cut off, it is refused"""
    decode_seconds: float = 60.0
    """how long an upload may take to be decoded"""
    text_characters: int = 1000
    most_hits: int = 100
    header_seconds: float = 10.0
    """in which a request's head must have come"""
    body_seconds: float = 60.0
    """in which a request's body must have come"""
    stall_seconds: float = 60.0
    """how long a client may take nothing of an answer before it is given up"""
    requests_per_minute: int = 1200
    uploads_per_minute: int = 30
    guesses_per_minute: int = 10
    """wrong tokens"""
    waiting: int = 8
    """questions that may wait for the network; the next one is told to come back"""
    uploads_at_once: int = 8
    connections: int = 256


@dataclass(frozen=True)
class Settings:
    """Where the service listens and who may ask.

    host: address to listen on. token: what a client must know; "" asks nobody, which only a loopback address may.
    names: further host names by which the service may be called. media: only recordings inside this folder are
    played; None plays what the rows of the store name.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    names: tuple[str, ...] = ()
    media: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 0 and 65535")
        if self.token and (len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isprintable()):
            raise ValueError(f"a token has at least {LEAST_TOKEN} plain characters, so that nobody guesses it")
        if not self.token and not self.loopback:
            raise ValueError(f"others can reach {self.host}: a service there needs a token")
        if self.media is not None and not self.media.is_dir():
            raise ValueError(f"{self.media}: no such folder of recordings")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def allows(self, host: str) -> bool:
        """Whether a request may call the service by this name, of a Host header.

        A page elsewhere can point a name of its own at this address, and a browser would then take its requests for
        the service's own. Addresses cannot be pointed elsewhere, so those are always good where others may ask.
        """
        name = _without_port(host)
        if name in LOCAL_NAMES or name in self.names or name == self.host:
            return bool(name)
        return not self.loopback and _address(name) is not None


def is_loopback(host: str) -> bool:
    """Whether this address is reached from this machine alone."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
