"""A convolution for torch whose forward pass skips the kernel slices that are zero."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lilnetx.graph.ir import Conv2d, DenseWeight, Graph, Node
from lilnetx.graph.shapes import conv_output
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
    differentiable. ``torch.compile`` and ``torch.export`` see the dense one.

    Weights are packed at the first call with an input size, and again after the weight or bias
    changed. Threads follow ``torch.get_num_threads()``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[int, ...], Session] = {}
        self._planned_state: object = None  # parameters and threads that the plans are for

    @classmethod
    def from_dense(cls, conv: nn.Conv2d) -> SparseConv2d:
        """A sparse convolution with copies of a dense one's parameters.

        A parametrized weight is evaluated once and becomes plain; hooks are not taken over.
        """
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

    def forward(self, input: Tensor) -> Tensor:
        """Convolves ``(N, C, H, W)`` or ``(C, H, W)``."""
        if not self._takes_sparse_path(input):
            return super().forward(input)
        # Padding that is not zeros, or that differs between two sides, is added beforehand.
        padding: tuple[int, int]
        if self.padding_mode != "zeros":
            padded = functional.pad(
                input, self._reversed_padding_repeated_twice, mode=self.padding_mode
            )
            padding = (0, 0)
        else:
            left, right, top, bottom = self._sides()
            padding = (top, left)
            padded = functional.pad(input, (0, right - left, 0, bottom - top))
        batch = padded if padded.dim() == 4 else padded.unsqueeze(0)
        if not self._output_exists(batch, padding):
            return super().forward(input)
        session = self._session(tuple(batch.shape[1:]), padding)
        result = session.run(batch.detach().contiguous().numpy())
        assert not isinstance(result, tuple)
        output = torch.from_numpy(result)
        return output if input.dim() == 4 else output.squeeze(0)

    def _takes_sparse_path(self, input: Tensor) -> bool:
        tensors = [input, self.weight] + ([] if self.bias is None else [self.bias])
        return (
            all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
            and not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors))
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
            and input.layout == torch.strided
            and input.dim() in (3, 4)
            and input.shape[-3] == self.in_channels
        )

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
        parameters = [self.weight] + ([] if self.bias is None else [self.bias])
        if any(p.is_inference() for p in parameters):
            return self._make_session(shape, padding)  # changes of such tensors leave no trace
        state: object = (
            tuple((p._version, p.data_ptr()) for p in parameters),
            torch.get_num_threads(),
        )
        with self._lock:
            if state != self._planned_state:
                self._sessions.clear()
                self._planned_state = state
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
        weight = DenseWeight(self.weight.detach().contiguous().numpy())
        bias = None if self.bias is None else self.bias.detach().numpy()
        node = Node("conv", op, ("input",), weight, None, bias)
        graph = Graph("input", shape, (node,), ("conv",))
        return Session(graph, threads=torch.get_num_threads())

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_lock", "_sessions", "_planned_state"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._forget_plans()
