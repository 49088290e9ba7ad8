"""The benchmark is code: it refuses what it must refuse and writes down what it measured."""

import csv
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from featlib.kernels.sparse_mlp import gather
from featlib.models.mlp import MLPConfig
from tests.bench import __main__ as bench
from tests.bench import cam_family, decode, many_networks, runner, sparse_decode, sparse_mlp, top_component, topk_mlp
from tests.bench.runner import BenchError, Case, measure, require_green, store


def slow(seconds):
    def function(data):
        time.sleep(seconds)
        return data

    return function


def case(ours=0.001, theirs=0.004, error=0.0):
    return Case(
        "op", "3", "sleep", "1", lambda seed, batch: seed, slow(ours), slow(theirs), lambda a, b: error, 4, 1e-6
    )


def test_the_ratio_is_the_peers_time_over_ours():
    row = measure(case(), repeats=3)
    assert 2 < row.ratio < 6
    assert row.ratio == pytest.approx(row.peer_ms / row.ours_ms, rel=0.02)
    assert row.break_even == "batch 1"
    assert measure(case(0.004, 0.001), repeats=3).break_even == "not up to batch 4"


def test_a_case_may_have_an_axis_of_its_own():
    """Along it the peer takes 4 ms and we as many as the value says, whatever the seed."""
    axis = runner.Axis((8, 6, 2, 1), lambda seed, value: value, "{:.0f} and below", "not even at {}")
    ours = Case("op", "3", "sleep", "1", lambda seed, batch: 1, lambda ms: time.sleep(ms / 1e3), slow(0.004),
                lambda a, b: 0.0, 4, 1e-6, axis=axis)  # fmt: skip
    assert measure(ours, repeats=3).break_even == "2 and below"
    hard = replace(ours, axis=replace(axis, values=(9, 8, 7)))
    assert measure(hard, repeats=3).break_even == "not even at 7"


def test_memory_is_the_most_that_was_alive_at_one_time():
    def three(_data):
        first = torch.zeros(256, 1024)
        second = first + 1
        return second * 2

    def two(_data):
        first = torch.zeros(256, 1024)
        first = first + 1
        return first * 2

    assert runner.megabytes(three, None) == pytest.approx(3, abs=0.01)
    assert runner.megabytes(two, None) == pytest.approx(2, abs=0.01)
    row = measure(replace(case(), ours=two, theirs=three, memory=True), repeats=2)
    assert (row.peer_mb, row.ours_mb) == ("3.0", "2.0")
    assert measure(case(), repeats=2).peer_mb == ""


def test_a_case_may_bound_its_repeats():
    """Beside them each side is called to compare, to warm up, and for the break-even at three batches."""
    calls = []
    short = replace(case(), theirs=calls.append, most=1)
    measure(short, repeats=2)
    bounded = len(calls)
    measure(replace(short, most=2), repeats=2)
    assert len(calls) - bounded == bounded + 1


def test_two_sides_that_differ_get_no_ratio():
    with pytest.raises(BenchError, match=r"differs from sleep by 1\.0e-02"):
        measure(case(error=0.01))
    with pytest.raises(BenchError, match="differs from sleep by nan"):
        measure(case(error=float("nan")))


def test_red_tests_get_no_ratio(tmp_path):
    red = tmp_path / "test_red.py"
    red.write_text("def test_red():\n    assert False\n")
    with pytest.raises(BenchError, match="is red"):
        require_green(str(red))


def test_a_busy_machine_stores_nothing(tmp_path):
    row = replace(measure(case(), repeats=2), load=1.6)
    with pytest.raises(BenchError, match="quiet machine"):
        store(row, tmp_path / "performance.csv")
    assert not (tmp_path / "performance.csv").exists()


def test_a_newer_figure_replaces_the_older_one(tmp_path):
    path = tmp_path / "performance.csv"
    row = replace(measure(case(), repeats=2), load=0.1)
    for each in (row, replace(row, size="4"), replace(row, ratio=99.0)):
        store(each, path)
    table = list(csv.DictReader(path.read_text().splitlines()))
    assert [(line["size"], line["ratio"]) for line in table] == [("3", "99.0"), ("4", str(row.ratio))]


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with runner.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("peer", top_component.PEERS)
def test_all_peers_compute_what_we_compute(peer):
    maps = top_component.inputs((40, 9, 9), seed=0, batch=3)
    theirs = top_component.PEERS[peer][0](maps)
    assert top_component.error(top_component.ours(maps), theirs) < 1e-3
    assert top_component.error(np.roll(top_component.ours(maps), 1, axis=0), theirs) > 0.1


def test_the_family_and_its_peer_compute_the_same(monkeypatch):
    torch.manual_seed(0)
    body = nn.Conv2d(3, 24, 5, stride=8), nn.ReLU(), nn.Conv2d(24, 16, 3), nn.ReLU()
    network = nn.Sequential(*body, nn.Conv2d(16, 8, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    monkeypatch.setattr(cam_family, "network", lambda: network)
    monkeypatch.setattr(cam_family, "LAYER", "3")
    images = 10 * torch.rand(2, 3, 96, 96)
    mine, theirs = cam_family.ours(images), cam_family.one_by_one(images)
    assert mine.shape == (len(cam_family.METHODS), 2, 96, 96)
    assert cam_family.error(mine, theirs) < 5e-3
    assert cam_family.error(np.roll(mine, 1, axis=1), theirs) > 0.1


def test_many_networks_and_the_loop_lose_alike():
    work = many_networks.inputs(MLPConfig(16, (12,), 2), 8, seed=1, batch=3)
    mine, theirs = many_networks.ours(work), many_networks.theirs(work)
    assert many_networks.error(mine, theirs) < 1e-5
    assert many_networks.error(mine.roll(1, 1), theirs) > 1e-2
    assert torch.equal(many_networks.ours(work), mine), "the work is not used up"


def ops(*wanted):
    return {case.op for _, cases in bench.selected(wanted) for case in cases}


def test_suites_and_operations_are_asked_for_by_name():
    everything = {case.op for suite in bench.SUITES for case in suite.CASES}
    assert ops() == everything
    assert ops("topk_mlp") == {case.op for case in topk_mlp.CASES}
    assert ops("active set given") == {"sparse_mlp, active set given"}
    assert ops("exact", "many_networks") == {"sparse_mlp, exact", "many_networks"}
    assert len(ops("sparse_mlp")) == 3, "the name of a suite is also part of another's operations"
    (suite, cases), = bench.selected(["sparse_decode"])  # fmt: skip
    assert suite.CASES == cases


def test_a_name_that_is_not_there_lists_those_that_are(capsys):
    with pytest.raises(SystemExit, match=r"called 'cams'; there are suites top_component, .*; sparse_mlp, exact"):
        bench.main(["cams", "top_component"])
    assert not capsys.readouterr().out, "nothing was timed before"


def test_only_what_was_asked_for_is_proven_timed_and_stored(monkeypatch, capsys):
    suites = [SimpleNamespace(__name__=f"bench.{name}", TESTS=name, CASES=[replace(case(), op=name)]) for name in "ab"]
    proven, stored = [], []
    monkeypatch.setattr(bench, "SUITES", suites)
    monkeypatch.setattr(bench, "require_green", proven.append)
    monkeypatch.setattr(bench, "store", stored.append)
    bench.main(["b", "--dry-run"])
    assert (proven, stored) == (["b"], [])
    assert capsys.readouterr().out.startswith("b 3")
    bench.main(["a"])
    assert (proven, [row.op for row in stored]) == (["b", "a"], ["a"])


def test_a_case_without_a_ratio_costs_the_others_nothing(monkeypatch, tmp_path):
    cases = [case(), replace(case(), op="wrong", error=lambda mine, theirs: 1.0), replace(case(), size="4")]
    monkeypatch.setattr(bench, "SUITES", [SimpleNamespace(__name__="bench.a", TESTS="a", CASES=cases)])
    monkeypatch.setattr(bench, "require_green", lambda tests: None)
    monkeypatch.setattr(runner, "load", lambda: 0.5)
    monkeypatch.setattr(bench, "store", lambda row: store(row, tmp_path / "performance.csv"))
    with pytest.raises(SystemExit, match="wrong 3: differs from"):
        bench.main([])
    table = csv.DictReader((tmp_path / "performance.csv").read_text().splitlines())
    assert [line["size"] for line in table] == ["3", "4"]


def test_the_given_set_computes_what_the_dense_network_computes():
    data = sparse_decode.inputs(24, 96, seed=1, density=0.1)
    mine, theirs = sparse_decode.ours(data), sparse_mlp.dense_whole(data)
    assert mine.shape == (32, 1, 24)
    assert sparse_mlp.error(mine, theirs) < 1e-5
    fewer = replace(data, active=[active[1:] for active in data.active])
    assert sparse_mlp.error(sparse_decode.ours(fewer), theirs) > 0.1
    density = sum(map(len, data.active)) / (32 * 96)
    assert density == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("density", [0.06, 0.5])
def test_a_whole_model_writes_the_same_with_the_kernel(density, monkeypatch):
    text = decode.inputs("t5_tiny", seed=1, density=density)
    gathered, real, shares = [], gather.gather, []
    monkeypatch.setattr(gather, "gather", lambda *tensors: gathered.append(1) or real(*tensors))
    for layer in text.dense.decoder.layers:
        layer.mlp.act.register_forward_hook(lambda _module, _z, a: shares.append(float((a > 0).double().mean())))
    theirs = decode.write(text.dense, text.cache)
    mine = decode.write(text.sparse, text.cache)
    assert decode.error(mine, theirs) < 1e-5
    assert len(shares) == 2 * decode.TOKENS
    assert density > 0.1 or len(gathered) == len(shares), "each layer of each step skipped what was silent"
    assert density / 2 < sum(shares) / len(shares) < 2 * density
    assert len(set(theirs[0].tolist())) == decode.TOKENS
    changed = (theirs[0].roll(1), theirs[1])
    assert decode.error(changed, theirs) == float("inf")
    models = [dict(model.named_parameters()) for model in (text.dense, text.sparse)]
    assert all(models[0][name] is models[1][name] for name in models[0] if not name.endswith("w_out"))
