"""Who may ask: API keys, and what browsers are kept from. Pure decisions over a request's headers.

A browser on the machine can be made to send requests to a server at loopback by any page it shows: simple ones to any
address, and by a name that the page's owner lets point at 127.0.0.1 even with answers that the page may read. The first
is told by what browsers say of a request's origin, the second by the name it is addressed to.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from llama_async._errors import OptionError, authentication_error, permission_denied, shown

if TYPE_CHECKING:
    from pathlib import Path

    from llama_async._errors import APIStatusError

    from ._settings import AppSettings

__all__ = ["Guard"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MOST_KEY_BYTES = 1 << 20


class Guard:
    """What requests are let in by.

    Args:
        settings: Keys, hosts and origins.

    Raises:
        OptionError: The file of keys cannot be read, or has none.
    """

    def __init__(self, settings: AppSettings) -> None:
        keys = [key.get_secret_value() for key in settings.api_keys]
        if settings.api_key_file is not None:
            keys += _read_keys(settings.api_key_file)
        for key in keys:
            if not key:
                raise OptionError("api_keys", "", "keys that are not empty")
        # Digests have one length: a comparison tells nothing of a key, its length included.
        self._digests = [_digest(key.encode()) for key in keys]
        self._hosts = frozenset(host.lower().rstrip(".") for host in settings.allowed_hosts)
        self._origins = frozenset(settings.cors_origins)

    @property
    def has_keys(self) -> bool:
        """Whether requests need a key."""
        return bool(self._digests)

    def refusal(self, method: str, headers: Mapping[bytes, bytes], *, is_open: bool) -> APIStatusError | None:
        """Return what a request is refused with, `None` if it is let in.

        Args:
            method: The request's.
            headers: The request's, names in lower case.
            is_open: Whether the path is one that needs no key.
        """
        return (
            self._host_refusal(headers) or self._origin_refusal(method, headers) or self._key_refusal(headers, is_open)
        )

    def _host_refusal(self, headers: Mapping[bytes, bytes]) -> APIStatusError | None:
        if not self._hosts:
            return None
        host = _without_port(headers.get(b"host", b"").decode("latin-1")).lower().rstrip(".")
        if host in self._hosts:
            return None
        return permission_denied(
            f"the host {shown(host)} is not among those this server answers for: {', '.join(sorted(self._hosts))} "
            f"(allowed_hosts)",
            "host_not_allowed",
        )

    def _origin_refusal(self, method: str, headers: Mapping[bytes, bytes]) -> APIStatusError | None:
        if method in _SAFE_METHODS:
            # They change nothing, and what they return is the browser's to keep from the page.
            return None
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            is_own = site in {b"same-origin", b"none"}
        else:
            is_own = origin is None or origin.partition(b"://")[2] == headers.get(b"host")
        given = (origin or b"").decode("latin-1")
        if is_own or "*" in self._origins or given in self._origins:
            return None
        return permission_denied(
            f"the origin {shown(given)} may not use this server (cors_origins)", "origin_not_allowed"
        )

    def _key_refusal(self, headers: Mapping[bytes, bytes], is_open: bool) -> APIStatusError | None:
        if is_open or not self._digests:
            return None
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        # The other header is that of Anthropic's clients; llama-server takes both as well.
        key = (bearer if scheme.lower() == b"bearer" else b"").strip() or headers.get(b"x-api-key", b"").strip()
        if not key:
            return authentication_error("this server needs an API key: Authorization: Bearer KEY, or X-API-Key: KEY")
        digest = _digest(key)
        # All of them, whichever fits: the time taken tells nothing.
        if sum(hmac.compare_digest(digest, known) for known in self._digests):
            return None
        return authentication_error("incorrect API key provided")


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0]


def _read_keys(file: Path) -> Iterable[str]:
    try:
        if file.stat().st_size > _MOST_KEY_BYTES:
            raise OptionError("api_key_file", str(file), f"a file of {_MOST_KEY_BYTES} bytes at most")
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("api_key_file", str(file), f"a text file that can be read: {error}") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        # Whoever names one wants keys to be asked for.
        raise OptionError("api_key_file", str(file), "a file with at least one key")
    return keys
