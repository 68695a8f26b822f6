"""One layer's weights as a rounding problem: solved for any price of a bit."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from lilnetx.graph.ir import Decoder, Graph, LatentWeight, Node, Weighted
from lilnetx.graph.weights import dense_weight, latent_shape
from lilnetx.packing.calibrate.prices import Floats, LayerPrices, layer_prices
from lilnetx.packing.calibrate.rounding import Quadratic, round_columns, upper_factor
from lilnetx.packing.calibrate.statistics import LayerStatistics, groups_of
from lilnetx.packing.side import shorten

# Of the inputs' mean variance, added to each: what is not seen in the images may still occur.
_DAMPING = 0.05
# Moments are sums of float32: a variance below this share of a slice's squares may be nothing but
# their rounding errors, of which no inverse can be made.
_ROUNDING = 1e-4
# Filters count for at least this share of their layer's mean, whatever the images say.
_LEAST_IMPORTANCE = 0.01
# Steps have so few significant bits that they take few in the file; a step that is off by an eighth
# costs a thousandth of a bit.
_STEP_BITS = 2
_LARGEST = 32767
_BIAS_INTEGERS = 2.0**20


class LayerProblem:
    """A layer whose integers are to be found.

    Attributes:
        node: The layer with its given weights.
        decoder: Of the integers to come.
    """

    def __init__(
        self, graph: Graph, node: Node, statistics: LayerStatistics, decoder: Decoder
    ) -> None:
        op = node.op
        assert isinstance(op, Weighted)
        assert statistics.importance is not None
        self.node, self.decoder = node, decoder
        self._groups = groups_of(op)
        self._length = decoder.matrix.shape[0]
        self._shape = latent_shape(op, self._length)
        filters, slices, length = self._shape
        psi = np.ldexp(decoder.matrix.astype(np.float64), -decoder.exponent)
        weight = dense_weight(graph, node).astype(np.float64).reshape(filters, -1)
        padding = slices * length - weight.shape[1]
        rows = np.pad(weight, ((0, 0), (0, padding))).reshape(filters, slices, length)
        self._weights: Floats = (rows @ np.linalg.inv(psi)).reshape(
            self._groups, filters // self._groups, slices * length
        )
        importance = statistics.importance.reshape(self._groups, -1)
        mean = max(float(importance.mean()), 1e-12)
        # Estimates from few gradients, which differ from image to image: half way to the mean, on a
        # logarithmic scale, predicts other images better.
        self._importance = np.sqrt(np.maximum(importance, _LEAST_IMPORTANCE * mean) * mean)
        self._parts = _quadratics(statistics, psi, padding, node.bias is not None)
        widths = [self._widths(part) for part in self._parts]
        self._curvature = np.mean(np.concatenate(widths, axis=1) ** -2, axis=1, keepdims=True)
        self._positions = statistics.positions

    def _widths(self, part: tuple[int, Quadratic]) -> Floats:
        """The diagonal of U, without the bias's."""
        first, quadratic = part
        count = len(quadratic.order) - int(self._holds_bias(first, quadratic))
        diagonal: Floats = np.diagonal(quadratic.upper, axis1=1, axis2=2)[:, :count]
        return diagonal

    def _holds_bias(self, first: int, quadratic: Quadratic) -> bool:
        columns = self._weights.shape[2]
        return bool(first + len(quadratic.order) > columns)

    def steps(self, bit_cost: float) -> Floats:
        """The size of each filter's integers, ``(groups, F)``.

        A step s makes an error of ``r * s**2 / 24`` for each weight, times the mean curvature of
        the filter's columns, and saves ``log2(s)`` bits: the derivatives meet at this one.
        """
        steps = np.sqrt(12 * bit_cost / (math.log(2) * self._importance * self._curvature))
        largest = np.abs(self._weights).max(axis=2)
        steps = np.maximum(steps, np.maximum(largest / _LARGEST * 2, 1e-30))
        short: Floats = shorten(steps, _STEP_BITS).astype(np.float64)
        return short

    @property
    def size(self) -> int:
        """Number of integers."""
        return int(self._weights.size)

    def estimated_bits(self, bit_cost: float) -> float:
        """About how many bits all integers will take: the entropy of a Gaussian of their width."""
        width = np.sqrt((self._weights**2).mean(axis=2)) / self.steps(bit_cost)
        bits = 0.5 * np.log2(1 + 2 * math.pi * math.e * width**2)
        return float(bits.sum() * self._weights.shape[2])

    def solve(
        self, bit_cost: float, like: NDArray[np.int32] | None, *, compensate: bool = True
    ) -> Node:
        """The layer with integers.

        Args:
            bit_cost: What a bit may cost.
            like: Integers to expect, ``(F, S, n)``, that tell the prices; None for those nearest to
                the weights.
            compensate: Whether weights and the bias make up for the rounding of others.
        """
        steps = self.steps(bit_cost)
        if like is None:
            like = np.rint(self._weights / steps[:, :, None]).astype(np.int32).reshape(self._shape)
        prices = layer_prices(like)
        biases = self.node.bias
        shape = (self._groups, -1)
        bias = None if biases is None else biases.astype(np.float64).reshape(shape)
        found = []
        for first, quadratic in self._parts:
            with_bias = bias is not None and self._holds_bias(first, quadratic)
            last = first + len(quadratic.order) - int(with_bias)
            work = self._weights[:, :, first:last].copy()
            if bias is not None and with_bias:
                work = np.concatenate([work, bias[:, :, None]], axis=2)
            some = slice(first // self._length, last // self._length)
            found.append(
                round_columns(
                    work,
                    steps,
                    self._importance,
                    quadratic,
                    self._length,
                    LayerPrices(
                        prices.zero[:, some],
                        prices.nonzero[:, some],
                        prices.base[:, some],
                        prices.slope[:, some],
                    ),
                    bit_cost,
                    compensate=compensate,
                )
            )
            if with_bias:
                bias = work[:, :, -1]
        latents = np.concatenate(found, axis=2).reshape(self._shape)
        scale = np.where(latents.any(axis=(1, 2)), steps.reshape(-1), 0).astype(np.float32)
        return dataclasses.replace(
            self.node,
            weight=LatentWeight(np.ascontiguousarray(latents), self.decoder.name),
            scale=scale,
            bias=None if bias is None else self._short_bias(bias.reshape(-1), bit_cost),
        )

    def _short_bias(self, bias: Floats, bit_cost: float) -> NDArray[np.float32]:
        """The bias on the grid that the same price of a bit gives, a power of two."""
        curvature = float(self._importance.mean()) * self._positions
        step = math.sqrt(12 * bit_cost / (math.log(2) * curvature))
        step = max(step, float(np.abs(bias).max()) / _BIAS_INTEGERS, 2.0**-100)
        exponent = math.floor(math.log2(step))
        return np.ldexp(np.rint(np.ldexp(bias, -exponent)) + 0.0, exponent).astype(np.float32)


def _quadratics(
    statistics: LayerStatistics, psi: Floats, padding: int, bias: bool
) -> list[tuple[int, Quadratic]]:
    """First column and costs of each block; the last one has the bias as its last column."""
    length = len(psi)
    found = []
    for index, (first, last) in enumerate(statistics.blocks):
        at_end = index == len(statistics.blocks) - 1
        extra = padding if at_end else 0
        moment = np.pad(statistics.moments[index], ((0, 0), (0, extra), (0, extra)))
        sums = np.pad(statistics.sums[:, first:last], ((0, 0), (0, extra)))
        moment, sums = _decoded_inputs(moment, sums, psi)
        moment = _regular(moment, sums, statistics, length)
        slices = moment.shape[1] // length
        energy = np.diagonal(moment, axis1=1, axis2=2).mean(axis=0).reshape(slices, length)
        # Columns of much effect first, while there are many others to make up for them.
        ranked = np.argsort(-energy.sum(axis=1), kind="stable")
        order = (ranked[:, None] * length + np.arange(length)).reshape(-1)
        moment = moment[:, order][:, :, order]
        if bias and at_end:
            sums = sums[:, order]
            positions = np.full((len(sums), 1, 1), statistics.positions)
            moment = np.block([[moment, sums[:, :, None]], [sums[:, None, :], positions]])
            order = np.append(order, len(order))
        found.append((first, Quadratic(upper_factor(moment), order)))
    return found


def _decoded_inputs(moment: Floats, sums: Floats, psi: Floats) -> tuple[Floats, Floats]:
    """Moments of what the integers, not the weights, are multiplied by: ``psi @ x``, by slice."""
    length = len(psi)
    if length == 1:
        return moment * psi[0, 0] ** 2, sums * psi[0, 0]
    groups, columns = sums.shape
    slices = columns // length
    half = psi @ moment.reshape(groups, slices, length, columns)
    other = half.reshape(groups, columns, columns).swapaxes(1, 2)
    both = psi @ other.reshape(groups, slices, length, columns)
    return (
        both.reshape(groups, columns, columns),
        (sums.reshape(groups, slices, length) @ psi.T).reshape(groups, columns),
    )


def _regular(moment: Floats, sums: Floats, statistics: LayerStatistics, length: int) -> Floats:
    """The moment with an inverse that a limited number of images can vouch for.

    Covariances shrink towards their diagonal by the share of their squares that chance alone would
    give (Chen et al. 2010, "oracle approximating shrinkage"), then get the damping.

    Args:
        moment: Shape ``(groups, N, N)``.
        sums: Shape ``(groups, N)``.
        statistics: Of the layer.
        length: Columns of a slice, which a decoder mixes.
    """
    positions = max(statistics.positions, 1e-30)
    means = sums[:, :, None] * sums[:, None, :] / positions
    covariance = moment - means
    columns = sums.shape[1]
    energy = np.diagonal(moment, axis1=1, axis2=2).reshape(len(sums), -1, length)
    floor = np.repeat(_ROUNDING * np.maximum(energy.max(axis=2), 0), length, axis=1)
    diagonal = np.maximum(np.diagonal(covariance, axis1=1, axis2=2), floor)
    deviations = np.sqrt(np.maximum(diagonal, 1e-30))
    correlation = covariance / deviations[:, :, None] / deviations[:, None, :]
    squares = (correlation**2).sum(axis=(1, 2))
    samples = max(statistics.samples, 2)
    above = (1 - 2 / columns) * squares + columns**2
    below = (samples + 1 - 2 / columns) * (squares - columns)
    share = np.where(below > 0, np.clip(above / np.maximum(below, 1e-30), 0, 1), 0.0)
    at = np.arange(columns)
    regular = covariance * (1 - share)[:, None, None]
    damping = np.maximum(_DAMPING * diagonal.mean(axis=1, keepdims=True), np.maximum(floor, 1e-12))
    regular[:, at, at] = diagonal + damping
    shrunk: Floats = regular + means
    return shrunk


__all__ = ["LayerProblem"]
