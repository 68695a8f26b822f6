"""The operators of the intermediate representation, by kind; :mod:`lilnetx.graph.ir` has them all.

An operator is a frozen dataclass: its fields are what the file stores, ``output_shape`` is its
shape rule. What else there is to an operator is found by its type in one table of each room:
``lilnetx.format.op_bytes`` (code), ``lilnetx.reference`` (oracle), ``lilnetx.runtime.steps``
(kernel), ``lilnetx.graph.to_torch`` and ``lilnetx.graph.to_onnx``.
"""
