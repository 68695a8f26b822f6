"""Swaps the convolutions of a network for sparse ones."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize

from lilnetx.graph.torch_program import copy_model, require_module
from lilnetx.nn.sparse_conv2d import SparseConv2d


def pack_slices(model: nn.Module) -> nn.Module:
    """Packs the slices of every :class:`SparseConv2d` of a network, see its ``pack_slices``.

    Args:
        model: Any network in evaluation mode; training mode would drop the slices again.

    Returns:
        ``model`` itself.

    Raises:
        InputError: ``model`` is no module.
    """
    require_module(model)
    for module in model.modules():
        if isinstance(module, SparseConv2d):
            module.pack_slices()
    return model


def sparsify(model: nn.Module, *, inplace: bool = False) -> nn.Module:
    """A network whose ``torch.nn.Conv2d`` modules are :class:`SparseConv2d`.

    Weights do not change: what is zero in them is skipped. Parametrized convolutions
    (:func:`lilnetx.compress`, ``torch.nn.utils.prune``, weight and spectral norm) become plain ones
    with their current weight; subclasses of ``Conv2d`` are left alone. Modules that occur twice
    stay shared.

    The sparse kernels have no gradient, so the network is called without one, or else it takes
    torch's dense convolutions::

        sparse = lilnetx.sparsify(model.eval())
        with torch.inference_mode():
            outputs = sparse(images)

    Hooks of the convolutions that are swapped, forward hooks among them, are dropped: register
    them on what is returned. Hooks of all other modules stay.

    Args:
        model: Any network, a single convolution included.
        inplace: Whether to change ``model`` itself rather than a copy. A ``model`` that is itself
            a convolution is never changed; use what is returned.

    Returns:
        The network, its modules in training or evaluation mode as before.

    Raises:
        InputError: ``model`` is no module.
    """
    require_module(model)
    if not inplace:
        model = copy_model(model)
    swapped: dict[nn.Module, SparseConv2d] = {}

    def swap(module: nn.Module) -> nn.Module:
        if parametrize.type_before_parametrizations(module) is nn.Conv2d:
            assert isinstance(module, nn.Conv2d)
            if module not in swapped:
                swapped[module] = SparseConv2d.from_dense(module)
            return swapped[module]
        # Not named_children(), which leaves out the second occurrence of a module.
        for name, child in module._modules.items():
            new = None if child is None else swap(child)
            if new is not child:
                setattr(module, name, new)
        return module

    return swap(model)
