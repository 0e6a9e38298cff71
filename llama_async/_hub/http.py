"""One HTTP client for the hub and its neighbours, and what their refusals mean in words."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llama_async._errors import DownloadError
from llama_async._version import __version__

if TYPE_CHECKING:
    import httpx

    from .settings import Settings
    from .source import RepoSource

__all__ = ["http_client", "network_error", "refusal", "url_refusal"]

_CONNECT_TIMEOUT_S = 10.0


def http_client(settings: Settings) -> httpx.Client:
    """Return a client that follows redirects; the caller closes it."""
    import httpx

    timeout = httpx.Timeout(settings.read_timeout_s, connect=_CONNECT_TIMEOUT_S)
    # Contents are compared and continued byte for byte, so nothing may be compressed on the way.
    headers = {"user-agent": f"llama-async/{__version__}", "accept-encoding": "identity"}
    return httpx.Client(timeout=timeout, headers=headers, follow_redirects=True)


def authorization(settings: Settings) -> dict[str, str]:
    """Return the headers that tell the hub who asks. httpx drops them where a redirect leaves for another host."""
    return {"authorization": f"Bearer {settings.token}"} if settings.token else {}


def network_error(source: str, host: str, error: Exception) -> DownloadError:
    """Return the error for a server that was not reached, or did not go on answering."""
    what = str(error) or type(error).__name__
    return DownloadError(source, f"no answer from {host} ({what}); is there a network?", code="network")


def refusal(source: RepoSource, response: httpx.Response, settings: Settings) -> DownloadError:
    """Return the error for what the hub answered instead of a listing or a file."""
    status, name = response.status_code, str(source)
    if response.url.host != urlsplit(settings.endpoint).hostname:
        # Where the hub keeps contents; it knows nothing of repositories.
        return _fault(name, response)
    kind = response.headers.get("x-error-code", "")
    page = f"{settings.endpoint}/{source.repo_id}"
    if kind == "GatedRepo" or (status == 403 and not kind):
        how = f"accept its conditions at {page} with the account of your token"
        if settings.token is None:
            how += ", and set HF_TOKEN to a token of it"
        return DownloadError(name, f"the repository is gated: {how}", code="forbidden")
    if kind == "RevisionNotFound":
        return DownloadError(name, f"the repository has no revision {source.revision!r}", code="not_found")
    if kind == "EntryNotFound":
        return DownloadError(name, "the repository has no such file", code="not_found")
    if (
        status in {401, 404}
        and settings.token is not None
        and "credentials" in response.headers.get("x-error-message", "")
    ):
        return DownloadError(name, "the hub does not know your token (HF_TOKEN)", code="unauthorized")
    if status == 401:
        hint = "set HF_TOKEN if it is private or gated" if settings.token is None else "your token does not open it"
        return DownloadError(name, f"there is no such repository, or it is private: {hint}", code="unauthorized")
    if status == 404:
        return DownloadError(name, f"there is no such repository at {settings.endpoint}", code="not_found")
    if status == 403:
        return DownloadError(name, "the hub forbids it to your token", code="forbidden")
    return _fault(name, response)


def url_refusal(source: str, response: httpx.Response) -> DownloadError:
    """Return the error for what a web server answered instead of a file."""
    status = response.status_code
    if status in {404, 410}:
        return DownloadError(source, f"there is nothing at that address (HTTP {status})", code="not_found")
    if status == 401:
        return DownloadError(source, "the server wants to know who asks (HTTP 401)", code="unauthorized")
    if status == 403:
        return DownloadError(source, "the server forbids it (HTTP 403)", code="forbidden")
    return _fault(source, response)


def _fault(source: str, response: httpx.Response) -> DownloadError:
    host, status = response.url.host, response.status_code
    if status == 429:
        wait = response.headers.get("retry-after")
        when = f" for {wait} seconds" if wait else ""
        return DownloadError(source, f"{host} is asked too often; wait{when} (HTTP 429)", code="server")
    return DownloadError(source, f"{host} answered with HTTP {status}", code="server")
