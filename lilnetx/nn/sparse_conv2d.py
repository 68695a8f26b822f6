"""A convolution for torch whose forward pass skips the kernel slices that are zero."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lilnetx.arguments import require_type
from lilnetx.errors import InputError
from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, Node
from lilnetx.graph.shapes import conv_output
from lilnetx.nn.packed_slices import BUFFERS, pack_slices_of
from lilnetx.nn.sparse_op import runs_on_gpu, same_bits, sparse_conv2d
from lilnetx.runtime.session import Session

# Input sizes whose plans are kept at once.
_KEPT_PLANS = 8


class SparseConv2d(nn.Conv2d):
    """:class:`torch.nn.Conv2d` with kernels that skip zero slices.

    Constructor, parameters, ``state_dict`` and results are those of ``Conv2d``. A slice is the
    ``Kh*Kw`` kernel of one (filter, input channel) pair; slices whose weights are all exactly zero
    cost nothing.

    The sparse kernels run on float32 tensors in CPU memory when no gradient is asked for
    (``torch.no_grad()``, ``torch.inference_mode()``, or nothing that requires one), outside of
    autocast. Everything else, training included, takes torch's dense convolution, which is
    differentiable; a RuntimeWarning says so, once, where in evaluation mode it is only the
    parameters that require a gradient. ``torch.compile``, ``torch.export``, ``torch.jit.trace``,
    ``torch.fx``, the transforms of ``torch.func``, forward-mode derivatives and tensor subclasses
    see the dense one.

    Weights are packed at the first call with an input size, and again after the weight or bias
    changed. Every call compares them, bit for bit, with a copy of what was packed: writes through
    ``.data`` or ``.numpy()`` leave no other trace. That costs a read of the dense weight: little
    beside large images or batches, but it can exceed the convolution itself where many channels,
    few nonzero slices and one small image meet. A :class:`lilnetx.Session` of the whole network
    does without.

    Threads follow ``torch.get_num_threads()``; all layers share them.

    :meth:`pack_slices` puts the slices into buffers that move with the module. From then on, where
    no gradient is asked for, ``torch.compile``, ``torch.export``, autocast and CUDA devices run the
    operator ``lilnetx::sparse_conv2d`` on them. On a GPU that Triton's kernels run on they are
    packed at the first call, too, and again when the weight is seen to have changed (not through
    ``.data``). Training mode and
    ``load_state_dict`` drop them. Compiled and exported code keeps the slices it was made with.
    """

    packed_filter_ptr: Tensor | None
    packed_channel: Tensor | None
    packed_values: Tensor | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in BUFFERS:
            self.register_buffer(name, None, persistent=False)
        self._packed_state: object = None
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[int, ...], Session] = {}
        # What the plans are for: threads, and copies of the weight and bias.
        self._planned_threads = 0
        self._packed: list[NDArray[np.float32]] = []

    @classmethod
    def from_dense(cls, conv: nn.Conv2d) -> SparseConv2d:
        """A sparse convolution with copies of a dense one's parameters.

        A parametrized weight is evaluated once and becomes plain, whether by
        ``torch.nn.utils.parametrize`` or by the hooks of ``prune``, ``weight_norm`` and
        ``spectral_norm``. Hooks are not taken over.

        Raises:
            InputError: ``conv`` is no ``torch.nn.Conv2d``.
        """
        expected = "a torch.nn.Conv2d; lilnetx.sparsify takes a whole network"
        require_type(conv, nn.Conv2d, InputError, expected)
        _evaluate_weight(conv)
        bias = conv.bias is not None
        sparse = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            bias,
            conv.padding_mode,
            device="meta",
        )
        with torch.no_grad():
            weight = conv.weight.detach().clone()
            sparse.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
            if conv.bias is not None:
                sparse.bias = nn.Parameter(
                    conv.bias.detach().clone(), requires_grad=conv.bias.requires_grad
                )
        return sparse.train(conv.training)

    def pack_slices(self) -> SparseConv2d:
        """Packs the current weight into buffers; returns the module itself."""
        for name, tensor in zip(BUFFERS, pack_slices_of(self.weight, self.groups), strict=True):
            setattr(self, name, tensor)
        self._packed_state = self._weight_state()
        return self

    def _drop_slices(self) -> None:
        for name in BUFFERS:
            setattr(self, name, None)
        self._packed_state = None

    def _weight_state(self) -> object:
        """What changes when the weight is written to or replaced, but for its device."""
        if self.weight.is_inference():
            return object()  # nothing counts its changes: never the same
        return (id(self.weight), self.weight._version, self.weight.dtype)

    def train(self, mode: bool = True) -> SparseConv2d:
        """Sets the mode; training drops packed slices."""
        if mode:
            self._drop_slices()
        super().train(mode)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._drop_slices()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> SparseConv2d:
        current = self._packed_state == self._weight_state()
        dtype = self.weight.dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # Moved along with the weight; slices of another dtype are no longer those of the weight.
        if current and self.weight.dtype == dtype:
            self._packed_state = self._weight_state()
        return self

    def forward(self, input: Tensor) -> Tensor:
        """Convolves ``(N, C, H, W)`` or ``(C, H, W)``."""
        if self._takes_packed_path(input):
            padded, padding = self._padded(input)
            batch = padded if padded.dim() == 4 else padded.unsqueeze(0)
            output: Tensor = sparse_conv2d(
                batch,
                self.packed_filter_ptr,
                self.packed_channel,
                self.packed_values,
                self.bias,
                self.kernel_size,
                self.stride,
                padding,
                self.dilation,
                self.groups,
            )
            return output if input.dim() == 4 else output.squeeze(0)
        if not self._takes_sparse_path(input):
            return super().forward(input)
        padded, padding = self._padded(input)
        batch = padded if padded.dim() == 4 else padded.unsqueeze(0)
        if not self._output_exists(batch, padding):
            return super().forward(input)
        session = self._session(tuple(batch.shape[1:]), padding)
        result = session.run(batch.detach().contiguous().numpy())
        assert not isinstance(result, tuple)
        output = torch.from_numpy(result)
        return output if input.dim() == 4 else output.squeeze(0)

    def _padded(self, input: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The input with what of its padding is not plain zeros around it, and what is."""
        if self.padding_mode != "zeros":
            sides = self._reversed_padding_repeated_twice
            return functional.pad(input, sides, mode=self.padding_mode), (0, 0)
        left, right, top, bottom = self._sides()
        more = (0, right - left, 0, bottom - top)
        return (functional.pad(input, more) if any(more) else input), (top, left)

    def _takes_packed_path(self, input: Tensor) -> bool:
        compiling = torch.compiler.is_compiling()
        on_gpu = isinstance(input, Tensor) and input.device.type == "cuda" and runs_on_gpu()
        wanted = compiling or on_gpu or torch.is_autocast_enabled("cpu")
        if not wanted or (self.packed_values is None and (compiling or not on_gpu)):
            return False
        tensors = [input, *self._parameters_used()]
        if not compiling and (
            _is_observed() or any(type(t) not in (Tensor, nn.Parameter) for t in tensors)
        ):
            return False
        if (
            input.dim() not in (3, 4)
            or input.shape[-3] != self.in_channels
            or input.dtype not in (torch.float32, torch.float16, torch.bfloat16)
        ):
            return False
        if compiling:
            return not _ask_for_gradients(tensors)
        if self._dense_for_gradients(input):
            return False
        if self._packed_state != self._weight_state():
            self.pack_slices()
        return True

    def _takes_sparse_path(self, input: Tensor) -> bool:
        return (
            not _is_observed()  # first: torch.compile cannot follow the rest
            and all(_is_plain(t) for t in [input, *self._parameters_used()])
            and not torch.is_autocast_enabled("cpu")
            and input.dim() in (3, 4)
            and input.shape[-3] == self.in_channels
            and not self._dense_for_gradients(input)
        )

    def _parameters_used(self) -> list[Tensor]:
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def _dense_for_gradients(self, input: Tensor) -> bool:
        """Whether nothing but a gradient stands in the way; warns if it is hardly wanted."""
        dense = _ask_for_gradients([input, *self._parameters_used()])
        # An input that requires one may come from a layer that has warned, or it is meant.
        if dense and not self.training and not input.requires_grad:
            _warn_of_gradients()
        return dense

    def _sides(self) -> tuple[int, int, int, int]:
        """Zeros at the left, right, top and bottom."""
        if isinstance(self.padding, str):
            left, right, top, bottom = self._reversed_padding_repeated_twice
            return left, right, top, bottom
        return self.padding[1], self.padding[1], self.padding[0], self.padding[0]

    def _output_exists(self, batch: Tensor, padding: tuple[int, int]) -> bool:
        return all(
            conv_output(
                batch.shape[2 + i],
                self.kernel_size[i],
                self.stride[i],
                padding[i],
                self.dilation[i],
            )
            > 0
            for i in (0, 1)
        )

    def _session(self, shape: tuple[int, ...], padding: tuple[int, int]) -> Session:
        """The plan for one input size, from the current parameters."""
        current = [p.detach().contiguous().numpy() for p in self._parameters_used()]
        threads = torch.get_num_threads()
        with self._lock:
            if threads != self._planned_threads or not same_bits(current, self._packed):
                self._sessions.clear()
                self._planned_threads = threads
                self._packed = [values.copy() for values in current]
            if shape not in self._sessions:
                while len(self._sessions) >= _KEPT_PLANS:
                    del self._sessions[next(iter(self._sessions))]
                self._sessions[shape] = self._make_session(shape, padding)
            return self._sessions[shape]

    def _make_session(self, shape: tuple[int, ...], padding: tuple[int, int]) -> Session:
        op = Conv2d(
            self.in_channels,
            self.out_channels,
            (self.kernel_size[0], self.kernel_size[1]),
            (self.stride[0], self.stride[1]),
            padding,
            (self.dilation[0], self.dilation[1]),
            self.groups,
        )
        weight, *bias = self._packed
        node = Node("conv", op, ("input",), DenseWeight(weight), None, bias[0] if bias else None)
        graph = Graph("input", shape, (node,), ("conv",))
        return Session(graph, threads=self._planned_threads)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_sessions", "_planned_threads", "_packed"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        # Packed by a version without these buffers, or of another weight object.
        for name in BUFFERS:
            self._buffers.setdefault(name, None)
            self._non_persistent_buffers_set.add(name)
        self._packed_state = None
        self._forget_plans()


def _evaluate_weight(conv: nn.Conv2d) -> None:
    """Renews a weight that hooks compute before each forward pass from parameters, as they do."""
    for hook in conv._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod | WeightNorm):
            hook(conv, ())
        elif isinstance(hook, SpectralNorm):
            # Not hook(conv), which in training moves on the vectors that it iterates.
            weight = hook.compute_weight(conv, do_power_iteration=False)
            setattr(conv, hook.name, weight)


def _ask_for_gradients(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


@cache
def _warn_of_gradients() -> None:
    """Warns once: all layers of a network, at every call, would say the same."""
    warnings.warn(
        "SparseConv2d takes torch's dense convolution because its parameters require gradients: "
        "call the network under torch.inference_mode() or torch.no_grad() to skip zero slices",
        RuntimeWarning,
        stacklevel=2,
    )


def _is_plain(value: object) -> bool:
    """Whether it is a tensor whose memory holds what it stands for, and numpy can read that.

    Not so are torch.fx's proxies, tensor subclasses, and what torch.func wraps.
    """
    return (
        isinstance(value, Tensor)
        and type(value) in (Tensor, nn.Parameter)
        and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        and value.device.type == "cpu"
        and value.dtype == torch.float32
        and value.layout == torch.strided
    )


def _is_observed() -> bool:
    """Whether something follows torch's operators, which the sparse kernels would escape."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )
