"""The plan of a layer on a GPU, as data: no GPU, no Triton, no torch."""

from __future__ import annotations

import itertools
import math

import kernels_under_test
import numpy as np
import pytest

from lilnetx.errors import InputError

ARGUMENTS = kernels_under_test.submodule("arguments")
CONFIGS = kernels_under_test.submodule("configs")
COST = kernels_under_test.submodule("cost")
DEVICES = kernels_under_test.submodule("devices")
PLAN = kernels_under_test.submodule("plan")
PROBLEM = kernels_under_test.submodule("problem")
UNIONS = kernels_under_test.submodule("unions")


def layer(images=1, channels=128, size=28, filters=128, kernel=3, density=0.19, **more):
    reads = np.random.default_rng(0).random((filters, channels)) < density
    problem = PROBLEM.ConvProblem(
        images,
        channels,
        (size, size),
        filters,
        (kernel, kernel),
        padding=(kernel // 2, kernel // 2),
        slices=int(reads.sum()),
        **more,
    )
    return problem, reads


def test_sizes_of_a_problem():
    problem = PROBLEM.ConvProblem(
        2, 8, (9, 10), 6, (3, 1), (2, 1), (1, 0), (1, 1), groups=2, slices=12
    )
    assert problem.out_size == (5, 10)
    assert problem.macs_dense == 2 * 50 * 6 * 4 * 3
    assert problem.macs_left == 2 * 50 * 12 * 3
    assert problem.density == 0.5
    with pytest.raises(InputError, match="leaves no pixel"):
        PROBLEM.ConvProblem(1, 1, (2, 2), 1, (3, 3)).check()


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("run", [1, 4])
def test_blocks_hold_all_filters_and_all_they_read(groups, run):
    reads = np.random.default_rng(1).random((24, 16)) < 0.1
    blocks = UNIONS.make_blocks(reads, groups, 8, run)
    members = blocks.order[blocks.order >= 0]
    assert sorted(members) == list(range(24))
    for order, runs in zip(blocks.order, blocks.runs, strict=True):
        mine = order[order >= 0]
        assert len(set(mine // (24 // groups))) == 1
        group = mine[0] // (24 // groups)
        union = set(np.flatnonzero(reads[mine].any(axis=0)) + group * 16)
        covered = {int(r) * run + i for r in runs for i in range(run)}
        assert union <= covered
        assert len(covered) <= len(union) * run
        assert list(runs) == sorted(runs)


def test_filters_are_reordered_where_that_helps_and_only_there():
    reads = np.zeros((64, 64), bool)
    reads[::2, :32] = True
    reads[1::2, 32:] = True
    blocks = UNIONS.make_blocks(reads, 1, 16, 1)
    assert not blocks.ordered
    assert blocks.union_channels == 4 * 32
    assert UNIONS.make_blocks(np.ones((64, 64), bool), 1, 16, 1).ordered
    assert UNIONS.make_blocks(np.zeros((64, 64), bool), 1, 16, 1).union_channels == 0


def test_the_order_is_never_worse_than_none():
    rng = np.random.default_rng(2)
    for density in (0.02, 0.05, 0.19):
        popular = rng.random(96) ** 2
        reads = rng.random((80, 96)) < density * 2 * popular
        blocks = UNIONS.make_blocks(reads, 1, 16, 1)
        plain = sum(int(reads[i : i + 16].any(axis=0).sum()) for i in range(0, 80, 16))
        assert blocks.union_channels <= plain


def test_runs_divide_the_channels():
    assert UNIONS.run_lengths(64, 2) == [8, 4, 2, 1]
    assert UNIONS.run_lengths(6, 4) == [2, 1]
    assert UNIONS.run_lengths(3, 4) == [1]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("device", [DEVICES.A100, DEVICES.H100], ids=lambda d: d.arch)
def test_pruned_blocks_fit_layer_and_device(device, dtype):
    for size, filters, channels in itertools.product((7, 56), (8, 20, 512), (3, 16, 512)):
        problem, _ = layer(1, channels, size, filters, dtype=dtype)
        configs = CONFIGS.union_configs(problem, device, "tf32x3")
        assert configs
        assert len(set(configs)) == len(configs)
        for config in configs:
            assert config.shared_bytes(problem.item_bytes) < device.shared_bytes
            assert config.filters <= max(16, 2 * filters)
            assert config.channels <= max(16, 2 * channels)
            smaller = min(config.pixels, config.filters) * config.channels * problem.item_bytes
            assert smaller >= 16 * config.threads
            accumulators = config.pixels * config.filters / config.threads
            assert accumulators <= (32 if dtype == "float32" or filters % 8 else 64)


def test_blocks_of_form_a_are_not_much_larger_than_the_image():
    problem, _ = layer(size=7)
    assert {config.block for config in CONFIGS.gathered_configs(problem, 1)} == {128}
    blocks = {config.block for config in CONFIGS.gathered_configs(layer(size=56)[0], 1)}
    assert blocks == {128, 256, 512, 1024}


def test_occupancy():
    device = DEVICES.A100
    assert device.occupancy(128, 32, 0) == 16
    assert device.occupancy(128, 255, 0) == 2
    assert device.occupancy(128, 32, 80 * 1024) == 2
    assert device.occupancy(1024, 255, 0) == 1
    assert device.fma_tflops == pytest.approx(19.5, rel=0.01)
    assert DEVICES.H100.fma_tflops == pytest.approx(66.9, rel=0.1)
    assert DEVICES.device_of("sm_86") is DEVICES.A100
    assert DEVICES.device_of("sm_100") is DEVICES.H100


def test_estimates_grow_with_the_work():
    for form in PLAN.FORMS:
        small = PLAN.make_plan(*layer(1, 64), DEVICES.A100, forms=(form,)).chosen.estimate
        large = PLAN.make_plan(*layer(64, 64), DEVICES.A100, forms=(form,)).chosen.estimate
        assert 0 < small.total < large.total
        assert small.operations < large.operations
        assert small.bytes < large.bytes
        assert large.total >= large.launch + large.memory


def test_form_a_costs_what_is_left_and_dense_does_not():
    def totals(density):
        problem, reads = layer(64, density=density)
        return [
            PLAN.make_plan(problem, reads, DEVICES.A100, forms=(form,)).chosen.estimate.total
            for form in PLAN.FORMS
        ]

    few, many = totals(0.05), totals(0.8)
    assert few[0] < many[0] / 4
    assert few[1] <= many[1]
    assert few[2] == many[2]


def test_the_plan_follows_the_pattern():
    """Few slices to the CUDA cores, dense layers to the dense form, shared channels to unions."""
    problem, reads = layer(64, density=0.02)
    assert PLAN.make_plan(problem, reads, DEVICES.A100).chosen.form == "gathered"
    problem, reads = layer(64, density=1.0, dtype="float16")
    assert PLAN.make_plan(problem, reads, DEVICES.A100).chosen.form == "dense"
    reads = np.zeros((128, 128), bool)
    reads[:, ::8] = True
    reads = np.roll(reads.reshape(-1, 8)[:, 0].reshape(128, 16).repeat(8, 1), 0)
    reads[:, 16:] = False
    problem, _ = layer(64, dtype="float16")
    shared = PLAN.make_plan(problem, reads, DEVICES.A100)
    assert shared.chosen.form == "union"
    assert "union" in shared.reason
    assert "dense" in shared.reason
    assert [c.form for c in shared.others] != []


def test_another_order_in_memory_costs_a_copy():
    problem, reads = layer(64)
    free = PLAN.make_plan(problem, reads, DEVICES.A100)
    best = free.chosen.layout
    assert PLAN.make_plan(problem, reads, DEVICES.A100, layout=best).chosen == free.chosen
    copy = PLAN.copy_us(problem, DEVICES.A100)
    assert copy > 2 * 4 * 64 * 128 * 28 * 28 / 2039e3


def test_few_are_measured_and_the_best_prediction_is_among_them():
    problem, reads = layer()
    found = PLAN.candidates(problem, reads, DEVICES.A100, "union", "tf32x3")
    few = PLAN.worth_measuring(found)
    assert 1 <= len(few) <= 6 < len(found)
    assert few[0].estimate.total == min(c.estimate.total for c in found)
    assert all(c.estimate.total <= 1.5 * few[0].estimate.total for c in few)


def test_empty_layers_have_a_plan():
    problem, reads = layer(density=0.0)
    for form in PLAN.FORMS:
        estimate = PLAN.make_plan(problem, reads, DEVICES.A100, forms=(form,)).chosen.estimate
        assert math.isfinite(estimate.total)


@pytest.mark.parametrize(
    ("size", "images", "forms"),
    [
        (224, 2**15, {"gathered planes", "gathered batch_last", "union channels_last"}),
        (224, 2**16, {"gathered planes", "dense planes"}),
    ],
)
def test_batches_too_large_to_count(size, images, forms):
    """2**31 pixels are in 42,800 images of 224x224."""
    problem, reads = layer(images, channels=1, size=size, filters=16, density=1.0)
    found = {
        f"{candidate.form} {candidate.layout}"
        for form in PLAN.FORMS
        for candidate in PLAN.candidates(problem, reads, DEVICES.A100, form, "tf32x3")
    }
    assert found == forms | {"dense planes"}
    plan = PLAN.make_plan(problem, reads, DEVICES.A100)
    assert {f"{c.form} {c.layout}" for c in (plan.chosen, *plan.others)} <= found
    assert PLAN.worth_measuring([]) == []
    if "union channels_last" not in forms:
        with pytest.raises(InputError, match="too many for the forms union: use a smaller batch"):
            PLAN.make_plan(problem, reads, DEVICES.A100, forms=("union",))


def test_wide_offsets_are_for_many_values_only():
    """64 bits where the input with its padding, or the output, holds 2**31 values."""
    config = CONFIGS.GatheredConfig(256, 1, 1)

    def wide(images, channels=4, filters=4, inner=None):
        problem, _ = layer(images, channels, 62, filters)
        _, constants = ARGUMENTS.gathered_arguments(
            problem, config, inner or images, has_bias=False, activation="none"
        )
        return constants["WIDE"]

    assert not wide(2**16, channels=7)
    assert wide(2**16, channels=8)  # 64x64 pixels with their padding
    assert wide(2**16, filters=9)
    assert not wide(2**16, channels=8, inner=1)
