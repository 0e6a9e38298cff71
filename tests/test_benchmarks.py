"""The benchmarks' own arithmetic, and that each workload runs."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from tools.tiny_models import tiny_llama

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

from compare import load, picture  # noqa: E402
from harness.bars import judge  # noqa: E402
from harness.cut_model import write_first_layers  # noqa: E402
from harness.figures import percentile, spread  # noqa: E402
from harness.forcing import Judge  # noqa: E402
from harness.plot import draw  # noqa: E402
from harness.workloads import Answer, gaps, rates, while_all  # noqa: E402


def test_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([3.0, 1.0], 50) == 1


def test_spread_of_few_values() -> None:
    assert [spread([]), spread([1.0])] == ["-", "1.0"]
    assert spread([1.0, 4.0, 2.0]) == "2.0 (1.0..4.0)"


def test_pieces_count_as_many_tokens_as_usage_says() -> None:
    # Two tokens a piece; all streams decode from 2.0 to 4.0.
    early = Answer(0, times=[1.0, 2.0, 3.0, 4.0], n_generated=8)
    late = Answer(0, times=[2.0, 3.0, 4.0, 5.0], n_generated=8)
    assert while_all([early, late]) == (8, 2.0)
    with pytest.raises(ValueError, match="too short"):
        while_all([early, Answer(0, times=[4.0, 5.0], n_generated=4)])


def test_answer_that_came_in_one_piece_has_no_decode_rate() -> None:
    answer = Answer(1.0, times=[2.0], ended=3.0, n_generated=12)
    assert rates([answer]) == {"tok/s": 6.0}


def test_gap_that_begins_before_the_window_counts() -> None:
    answer = Answer(0, times=[0.0, 1.0, 5.0, 6.0, 7.0])
    assert gaps([answer], 2.0, 5.5) == [4.0, 1.0]


def test_bars_are_ratios_within_a_round() -> None:
    def round_(ours: float, bare: float, peer: float) -> dict[str, dict[str, float]]:
        own = {"tok/s": ours, "decode tok/s": ours}
        return {"ours": own, "bare": {"decode tok/s": bare}, "xllamacpp": {"tok/s": peer}}

    # The machine became half as fast in the second round: the ratios stay.
    runs = {"single": [round_(95, 100, 50), round_(47.5, 50, 25), {"bare": {"decode tok/s": 1.0}}]}
    with_amx = judge(runs, ["xllamacpp"], has_amx=True)
    assert [(verdict.bar.limit, verdict.word) for verdict in with_amx] == [(0.93, "pass"), (2, "FAIL"), (1, "pass")]
    assert with_amx[0].ratios == [0.95, 0.95]
    without = judge(runs, ["xllamacpp"], has_amx=False)
    assert [verdict.word for verdict in without] == ["pass", "needs AMX", "pass"]


def test_best_peer_of_a_workload_where_less_is_better() -> None:
    runs = {"short64": [{"ours": {"s": 3.0}, "a": {"s": 9.0}, "b": {"s": 2.0}}]}
    [verdict] = judge(runs, ["a", "b"], has_amx=False)
    assert "best peer, b" in verdict.bar.text
    assert verdict.ratios == [2.0 / 3.0]
    assert verdict.word == "FAIL"


def test_picture_is_xml_and_shows_every_engine() -> None:
    picture = draw({"single": {"ours": [100.0, 90.0], "a<b": [50.0], "bare": []}, "hol": {}}, "a & b")
    texts = [element.text for element in ET.fromstring(picture).iter() if element.text]
    assert {"llama-async", "a<b", "95", "50", "a & b"} <= set(texts)
    assert "llama_decode" not in texts


def test_results_of_several_runs_are_one_picture(tmp_path: Path) -> None:
    def written(name: str, workload: str, figure: str, n_rounds: int, engines: dict[str, str]) -> Path:
        rounds = [{"ours": {"figures": {figure: 7.0}}}] * n_rounds
        facts = {"cpu": "one", "cores": 2, "model": "m.gguf"}
        path = tmp_path / name
        path.write_text(json.dumps({"facts": facts, "engines": engines, "runs": {workload: rounds}}), encoding="utf-8")
        return path

    ours = {"ours": "the same"}
    late = written("late.json", "hol", "gap p99 ms", 3, ours)
    early = written("early.json", "single", "tok/s", 5, ours)
    results = load([late, early])
    assert list(results.runs) == ["single", "hol"]
    assert "median of 3 to 5 rounds" in picture(results)
    assert "median of 3 rounds" in picture(load([late]))
    with pytest.raises(SystemExit, match="not of the same engines"):
        load([late, written("other.json", "single", "tok/s", 1, {"ours": "another build"})])


def test_command_runs_each_engine_that_is_there(tmp_path: Path) -> None:
    model = tiny_llama(tmp_path / "tiny.gguf")
    command = [sys.executable, str(BENCHMARKS / "compare.py"), "--tiny", "--model", str(model), "--timeout", "120"]
    command += ["--peers", f"xllamacpp={tmp_path}/no-such-python"]
    command += ["--json", str(tmp_path / "results.json"), "--svg", str(tmp_path / "results.svg")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out: xllamacpp: cannot be run" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert results["errors"] == []
    for [round_] in results["runs"].values():
        assert set(round_) == {"ours", "bare"}
        assert all(value > 0 for run in round_.values() for value in run["figures"].values())
    assert ET.parse(tmp_path / "results.svg")


def test_soak_judges_every_answer(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    soak = [sys.executable, str(BENCHMARKS / "soak.py"), "--requests", "160", "--threads", "1", "--set", "n_threads=1"]
    path = str(tiny_llama(tmp_path / "tiny.gguf"))
    done = subprocess.run(
        [*soak, "--model", path, "--json", str(report)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    layouts = json.loads(report.read_text())["layouts"]
    assert set(layouts) == {"partitioned", "shared"}
    for seen in layouts.values():
        assert seen["wrong"] == []
        assert seen["verdict"]["different answers"] > 10
        assert seen["verdict"]["worst"] <= seen["verdict"]["margin"]


def test_first_layers_are_a_model_of_the_same_vocabulary(tmp_path: Path) -> None:
    whole, cut = tiny_llama(tmp_path / "whole.gguf"), tmp_path / "cut.gguf"
    write_first_layers(whole, 1, cut)
    prompt = [1, *range(3, 60)]
    logits = []
    for path in (whole, cut):
        with Judge(str(path), n_ctx=256, n_threads=1) as judge:
            logits.append(judge.logits(prompt, [])[0])
    assert logits[0].shape == logits[1].shape
    assert np.abs(logits[0] - logits[1]).max() > 1
    with pytest.raises(SystemExit, match=r"has \d+ layers"):
        write_first_layers(cut, 1, tmp_path / "none.gguf")


def run_benchmark(name: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts by /proc")
def test_dropped_connections_leave_nothing(tmp_path: Path) -> None:
    model = str(tiny_llama(tmp_path / "tiny.gguf"))
    said = run_benchmark("aborts.py", "--connections", "400", "--model", model)
    assert said.splitlines()[-1] == "passed"
    # All kinds of them, and most were in the engine when they ended.
    assert said.count(", by reset: ") == said.count(", by end: ") == 9
    match = re.search(r"400 connections in .*, (\d+) requests of theirs", said)
    assert match
    assert int(match[1]) > 150


def test_the_server_is_compared_with_the_client(tmp_path: Path) -> None:
    model = str(tiny_llama(tmp_path / "tiny.gguf"))
    said = run_benchmark("over_http.py", "--tiny", "--rounds", "1", "--threads", "1", "--model", model)
    assert re.search(r"many16 +ours-http / ours: [\d.]+", said)
    assert re.search(r"first +ours-http - ours: -?[\d.]+ \(-?[\d.]+\.\.-?[\d.]+\) ms", said)


def test_an_answer_to_another_prompt_is_beyond_the_margin(tmp_path: Path) -> None:
    prompts = [[1, *range(3, 60)], [1, *range(60, 2, -1)]]
    with Judge(str(tiny_llama(tmp_path / "tiny.gguf")), n_ctx=256, n_threads=1) as judge:
        answers: list[list[int]] = [[], []]
        for prompt, answer in zip(prompts, answers, strict=True):
            for _ in range(8):
                answer.append(int(judge.logits(prompt, answer)[-1].argmax()))
        margin = judge.margin(zip(prompts, answers, strict=True))
        for prompt, own, other in zip(prompts, answers, reversed(answers), strict=True):
            assert judge.deficits(prompt, own).max() <= margin
            assert judge.deficits(prompt, other).max() > 10 * margin
            # Computed among somebody else's cells it is the same answer.
            beside = judge.logits_beside(prompt, own)
            assert np.abs(beside - judge.logits(prompt, own)).max() <= margin / 2


def test_a_token_that_was_not_to_be_chosen_is_no_rival(tmp_path: Path) -> None:
    prompt = [1, *range(3, 60)]
    with Judge(str(tiny_llama(tmp_path / "tiny.gguf")), n_ctx=256, n_threads=1) as judge:
        second, first = judge.logits(prompt, [])[0].argsort()[-2:].tolist()
        assert judge.deficits(prompt, [first]).max() == 0
        assert judge.deficits(prompt, [second]).max() > 0
        assert judge.deficits(prompt, [second], banned=[first]).max() == 0


def test_a_text_is_cut_where_its_worst_token_misses_by_the_least(tmp_path: Path) -> None:
    prompt = [1, *range(3, 60)]
    choose = random.Random(1)
    n_not_by_the_likeliest = 0
    with Judge(str(tiny_llama(tmp_path / "tiny.gguf")), n_ctx=256, n_threads=1) as judge:
        candidates = judge.logits(prompt, [])[0].argsort()[::-1][:20].tolist()
        for _ in range(20):
            spellings = {b"a", b"b", b"ab", b"ba", b"aa", b"aba"}
            by_bytes = dict(zip(sorted(spellings), choose.sample(candidates, len(spellings)), strict=True))
            end = choose.sample(candidates, 1) if choose.random() < 0.5 else []
            text = bytes(choose.choice(b"ab") for _ in range(6))
            worst = {cut: float(judge.deficits(prompt, cut, end=end).max()) for cut in cuts_of(text, by_bytes) if cut}
            found = judge.spelled(prompt, text, by_bytes, end)
            assert found is not None
            assert worst[found] == pytest.approx(min(worst.values()), abs=1e-3)
            first = {cut[0] for cut in worst}
            n_not_by_the_likeliest += found[0] != max(first, key=lambda token: -candidates.index(token))
        assert n_not_by_the_likeliest > 0
        assert judge.spelled(prompt, b"abc", by_bytes) is None


def cuts_of(text: bytes, by_bytes: dict[bytes, int]) -> list[tuple[int, ...]]:
    if not text:
        return [()]
    sizes = [size for size in range(1, len(text) + 1) if text[:size] in by_bytes]
    return [(by_bytes[text[:size]], *rest) for size in sizes for rest in cuts_of(text[size:], by_bytes)]


def test_the_cut_of_a_text_follows_nearly_equal_tokens(tmp_path: Path) -> None:
    prompt = [1, *range(3, 60)]
    with Judge(str(tiny_llama(tmp_path / "tiny.gguf")), n_ctx=256, n_threads=1) as judge:
        dot, dots, *_, unlikely = judge.logits(prompt, [])[0].argsort()[::-1].tolist()
        behind = int(judge.logits(prompt, [dots])[-1].argmax())
        # By the likeliest alone it were (dot, unlikely, behind).
        by_bytes = {b".": dot, b"...": dots, b"..": unlikely, b" it": behind}
        assert judge.spelled(prompt, b"... it", by_bytes) == (dots, behind)
