"""Models from elsewhere: fetched, verified, kept in the cache that the hub's tools share.

Blocks, and knows neither engine nor event loop. Nothing of it is imported before a model is asked for by name.
"""

from .cache import CachedModel, HubCache
from .hub import Hub, Pulled, Report
from .settings import Settings
from .source import DefaultSource, FileSource, ModelSource, RepoSource, UrlSource, parse_source
from .url import CachedUrl, cached_urls, pull_url

__all__ = [
    "CachedModel",
    "CachedUrl",
    "DefaultSource",
    "FileSource",
    "Hub",
    "HubCache",
    "ModelSource",
    "Pulled",
    "RepoSource",
    "Report",
    "Settings",
    "UrlSource",
    "cached_urls",
    "parse_source",
    "pull_url",
]
