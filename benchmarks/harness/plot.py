"""The table as a picture: a panel for each workload, a bar for each engine, drawn as SVG."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from .workloads import WORKLOADS, more_is_better

COLUMNS = 2
PANEL_WIDTH, LABEL_WIDTH, VALUE_WIDTH = 460, 124, 64
ROW_HEIGHT, HEAD_HEIGHT, GAP = 24, 52, 20
COLOURS = {"ours": "#2f6fdb", "bare": "#9aa4b2"}
PEER_COLOUR = "#d98a3d"
NAMES = {"ours": "llama-async", "bare": "llama_decode"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.head { font-weight: 600 } .less { fill: #6b7280; font-size: 12px }
.spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .less { fill: #9aa4b2 } .spread { stroke: #e6edf3 } }
"""

Samples = Mapping[str, Sequence[float]]  # by engine


def draw(samples: Mapping[str, Samples], caption: str) -> str:
    """Return the picture of each workload's headline figure.

    Args:
        samples: By workload and engine, one figure a round.
        caption: Said below: machine, model, command.
    """
    panels = [(workload, {engine: seen for engine, seen in by_engine.items() if seen})
              for workload, by_engine in samples.items()]  # fmt: skip
    panels = [panel for panel in panels if panel[1]]
    n_rows = max((len(by_engine) for _, by_engine in panels), default=0)
    panel_height = HEAD_HEIGHT + n_rows * ROW_HEIGHT + GAP
    width = COLUMNS * PANEL_WIDTH + GAP
    height = -(-len(panels) // COLUMNS) * panel_height + 2 * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{escape(caption)}</title><style>{STYLE}</style>",
    ]
    for index, (workload, by_engine) in enumerate(panels):
        left, top = GAP + index % COLUMNS * PANEL_WIDTH, GAP + index // COLUMNS * panel_height
        lines += _panel(workload, by_engine, left, top)
    lines.append(f'<text class="less" x="{GAP}" y="{height - GAP // 2}">{escape(caption)}</text></svg>')
    return "\n".join(lines) + "\n"


def _panel(workload: str, by_engine: Samples, left: float, top: float) -> Iterator[str]:
    figure = WORKLOADS[workload].headline
    better = "more" if more_is_better(figure) else "less"
    yield f'<text class="head" x="{left}" y="{top + 14}">{escape(workload)}: {escape(WORKLOADS[workload].title)}</text>'
    yield f'<text class="less" x="{left}" y="{top + 32}">{escape(figure)}, {better} is better</text>'
    room = PANEL_WIDTH - GAP - LABEL_WIDTH - VALUE_WIDTH
    scale = room / max(max(seen) for seen in by_engine.values())
    for row, (engine, seen) in enumerate(by_engine.items()):
        y = top + HEAD_HEIGHT + row * ROW_HEIGHT
        start, length = left + LABEL_WIDTH, statistics.median(seen) * scale
        colour = COLOURS.get(engine, PEER_COLOUR)
        yield f'<text x="{left}" y="{y + 9}">{escape(NAMES.get(engine, engine))}</text>'
        yield f'<rect x="{start}" y="{y - 4}" width="{length:.1f}" height="16" rx="2" fill="{colour}"/>'
        if len(seen) > 1:
            low, high = (start + value * scale for value in (min(seen), max(seen)))
            yield f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{y + 4}" y2="{y + 4}"/>'
        end = start + max(length, max(seen) * scale)
        yield f'<text x="{end + 6:.1f}" y="{y + 9}">{statistics.median(seen):,.4g}</text>'
