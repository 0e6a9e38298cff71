"""What `/metrics` tells: the engines' own counters, read when asked, and the latencies that streams had.

Histograms are kept here rather than by prometheus-client's, whose lock and label lookup would cost each token more than
all else that is noted of it.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric

    from llama_async import AsyncLlama, ModelStats

__all__ = ["CONTENT_TYPE", "Histogram", "Latencies", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

_FIRST_TOKEN_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_INTER_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0)

# Field of ModelStats, name, what it is; counters first.
_COUNTERS = (
    ("n_requests", "requests", "Requests accepted."),
    ("n_ended", "requests_ended", "Requests ended, in whatever way."),
    ("n_prefilled", "prompt_tokens", "Prompt tokens computed."),
    ("n_cached", "prompt_tokens_cached", "Prompt tokens taken from a cached prefix."),
    ("n_generated", "generated_tokens", "Tokens sampled."),
    ("n_steps", "decode_steps", "Calls of llama_decode."),
    ("n_preempted", "preemptions", "Sequences that gave their slot to another and went on later."),
    ("decode_s", "decode_seconds", "Seconds inside llama_decode."),
    ("sample_s", "sample_seconds", "Seconds spent on sampling and on building text."),
)
_GAUGES = (
    ("n_parallel", "slots", "Sequences that may decode at once."),
    ("n_running", "slots_busy", "Sequences that prefill or decode."),
    ("n_queued", "queue_length", "Requests accepted that no sequence works on yet."),
    ("n_stored_bytes", "prefix_store_bytes", "Main memory that holds prefixes which had to leave the KV cache."),
)


class Histogram:
    """Counts of values by size.

    Args:
        bounds: Upper ends of all buckets but the last, which has none.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        """Return it as Prometheus has it."""
        ends = [*(str(bound) for bound in self._bounds), "+Inf"]
        buckets = list(zip(ends, accumulate(self._counts), strict=True))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)


class Latencies:
    """Times that streams had.

    Attributes:
        first_token: Seconds from a request's head to the first event of its answer.
        inter_token: Seconds between two of its writes. A client that reads slowly gets several tokens in one.
    """

    def __init__(self) -> None:
        self.first_token = Histogram(_FIRST_TOKEN_S)
        self.inter_token = Histogram(_INTER_TOKEN_S)


class Metrics(Collector):
    """The text of `/metrics`.

    Args:
        client: Whose models are told of.
        latencies: The server's.
        n_requests: Returns how many requests are in flight.
    """

    def __init__(self, client: AsyncLlama, latencies: Latencies, n_requests: Callable[[], int]) -> None:
        self._client = client
        self._latencies = latencies
        self._n_requests = n_requests
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Return what Prometheus reads."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Return the families, as prometheus-client asks for them."""
        prefix = "llama_async_"
        yield GaugeMetricFamily(f"{prefix}http_requests", "Requests in flight over HTTP.", self._n_requests())
        loaded = self._loaded()
        known = GaugeMetricFamily(f"{prefix}model_loaded", "Whether a model is loaded.", labels=["model"])
        for name, stats in loaded:
            known.add_metric([name], float(stats is not None))
        yield known
        for field, name, text in _COUNTERS:
            counter = CounterMetricFamily(prefix + name, text, labels=["model"])
            for model, stats in loaded:
                if stats is not None:
                    counter.add_metric([model], getattr(stats, field))
            yield counter
        for field, name, text in _GAUGES:
            gauge = GaugeMetricFamily(prefix + name, text, labels=["model"])
            for model, stats in loaded:
                if stats is not None:
                    gauge.add_metric([model], getattr(stats, field))
            yield gauge
        yield self._latencies.first_token.family(
            f"{prefix}time_to_first_token_seconds", "From a request's head to the first event of its stream."
        )
        yield self._latencies.inter_token.family(f"{prefix}inter_token_seconds", "Between two writes of a stream.")

    def _loaded(self) -> list[tuple[str, ModelStats | None]]:
        names = self._client._registry.first_names  # noqa: SLF001 (the public list has every name of a model)
        return [(name, self._client.stats(name)) for name in names]
