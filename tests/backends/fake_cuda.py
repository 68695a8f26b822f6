"""A stand-in for torch.cuda, as far as CUDA graphs need it."""

from __future__ import annotations

import contextlib
import threading
import types


class FakeCuda:
    """Stands for torch.cuda: a graph records what is done while it is under way."""

    def __init__(self):
        self.graphs = []
        self._recording = None
        self._thread = None

    class Stream:
        def wait_stream(self, other):
            assert isinstance(other, FakeCuda.Stream)

    def current_stream(self):
        return self.Stream()

    def stream(self, stream):
        return contextlib.nullcontext()

    def CUDAGraph(self):  # noqa: N802
        graph = types.SimpleNamespace(runs=[], replayed=0)

        def replay():
            graph.replayed += 1
            for again in graph.runs:
                again()

        graph.replay = replay
        self.graphs.append(graph)
        return graph

    @contextlib.contextmanager
    def graph(self, graph, capture_error_mode="global"):
        assert capture_error_mode == "thread_local", "what other threads do would end it"
        assert self._recording is None, "two graphs are recorded at once, on one stream"
        self._recording, self._thread = graph, threading.get_ident()
        yield
        self._recording = self._thread = None

    def start(self, kernel):
        """Runs a function, and adds it to the graph that this thread records, if it does."""
        kernel()
        if self._thread == threading.get_ident():
            self._recording.runs.append(kernel)
