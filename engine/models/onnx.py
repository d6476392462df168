"""Foreign models as ONNX graphs, run by onnxruntime on one thread of the processor.

An ONNX file is data: a graph of the standard's own operators with its weights. What is more than that (operators of
other domains, weights kept in files elsewhere) is refused before the graph is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.models.card import Card
from engine.models.classifier import Calibrated

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Where the standard's own operators live."""
TINY = 1e-7
"""The least probability whose logarithm is taken."""
_REMEDY = "export the model anew with one input (batch, time, bands, ...) and one output (batch, class), both float32"


class GraphClassifier(Calibrated):
    """An ONNX graph; see ``engine.models.package.Classifier`` for its promise.

    Its one input takes (n, t, f) float32 scaled by the card (mode patch: (n, t, f, s, s)), its one output gives (n, k)
    float32, logits or probabilities as the card says. Batches of any size. It runs on the processor, wherever the
    other families run.
    """

    def __init__(self, card: Card, weights: bytes) -> None:
        super().__init__(card)
        self._place = place = f"model {card.name}, {card.weights}"
        _libraries(place)
        _check_graph(weights, place)
        self._session = _session(weights, place)
        self._input = _check_ends(self._session, card, place)

    def _forward(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        out = self._run(scaled)
        expected = (len(scaled), len(self._card.classes))
        if out.shape != expected:
            raise InputError(
                f"a graph that gives {out.shape} for {len(scaled)} rows", expected=str(expected), place=self._place,
                remedy=_REMEDY,
            )  # fmt: skip
        return np.log(np.maximum(out, TINY)) if self._card.gives == "probabilities" else out

    def _run(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return np.asarray(self._session.run(None, {self._input: scaled})[0], np.float32)
        except Exception as error:  # onnxruntime's own errors share no base but this
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            told = _first_line(error)
            raise InputError(
                f"a graph that fails on {len(scaled)} rows ({told})", place=self._place, remedy=_REMEDY
            ) from error


def count_parameters(weights: bytes, place: str) -> int:
    """Numbers in the graph's own weights; InputError where the bytes are no graph that ``GraphClassifier`` takes."""
    _libraries(place)
    graph = _check_graph(weights, place)
    sizes = (int(np.prod(tensor.dims)) for tensor in graph.initializer)
    return max(sum(sizes), 1)


def _libraries(place: str) -> None:
    """InputError that names the extra, where onnx or onnxruntime is not installed."""
    try:
        import onnx  # noqa: F401  # both are looked for here, so that one message speaks of both
        import onnxruntime  # noqa: F401  # the same
    except ImportError as error:
        raise InputError(
            f"a model of family onnx, but {error.name} is not installed",
            place=place,
            remedy="install the extra on every machine that maps: pip install 'tilth[onnx]'",
        ) from error


def _check_graph(weights: bytes, place: str) -> Any:
    """The graph of a model that is whole and holds nothing but standard operators; InputError otherwise."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(weights)
    except DecodeError as error:
        raise InputError(f"no ONNX model ({_first_line(error)})", place=place, remedy=_REMEDY) from error
    own = {function.domain for function in model.functions}
    foreign = {node.domain for node in _nodes(model)} - set(DOMAINS) - own
    if foreign:
        raise InputError(
            f"operators of {', '.join(sorted(foreign))}",
            expected="operators of the ONNX standard alone",
            place=place,
            remedy="export the model without custom operators",
        )
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise InputError(
            "weights kept in another file",
            expected="one file that holds graph and weights",
            place=place,
            remedy="export with external_data=False, or onnx.save(onnx.load(FILE), 'model.onnx')",
        )
    try:
        onnx.checker.check_model(model)  # not before: it opens the files that external weights name
    except onnx.checker.ValidationError as error:
        raise InputError(f"no ONNX model ({_first_line(error)})", place=place, remedy=_REMEDY) from error
    return model.graph


def _nodes(model: Any) -> Iterator[Any]:
    """Every node of a model: of its graph, of the graphs inside loops and branches, of its own functions."""
    heaps = [model.graph.node, *(function.node for function in model.functions)]
    while heaps:
        for node in heaps.pop():
            yield node
            heaps += [graph.node for graph in _inner(node)]


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor a model holds: the weights of its graphs, and constants of its nodes."""
    nodes = list(_nodes(model))
    for graph in (model.graph, *(graph for node in nodes for graph in _inner(node))):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)


def _inner(node: Any) -> list[Any]:
    """The graphs that a node holds as attributes."""
    return [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]


def _session(weights: bytes, place: str) -> Any:
    """The graph, ready to run: one thread and one order of work, so that equal input gives equal bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base but this
        remedy = "export for an opset that the installed onnxruntime knows, or install a newer one"
        raise InputError(f"onnxruntime does not take it ({_first_line(error)})", place=place, remedy=remedy) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_ends(session: Any, card: Card, place: str) -> str:
    """The input's name; InputError unless input and output are the card's, the batch left open."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    found = {end.name: (end.type, end.shape) for end in (*inputs, *outputs)}
    wanted = [(*card.input_shape,), (len(card.classes),)]
    fits = len(inputs) == len(outputs) == 1 and all(
        end.type == "tensor(float)" and _fits(end.shape, sizes)
        for end, sizes in zip((*inputs, *outputs), wanted, strict=True)
    )
    if not fits:
        raise InputError(
            f"a graph with {len(inputs)} inputs and {len(outputs)} outputs: {found}",
            expected=f"one input (batch, {', '.join(map(str, wanted[0]))}) and one output (batch, {wanted[1][0]}), "
            "both float32, the batch of any size",
            place=place,
            remedy=_REMEDY,
        )
    return str(inputs[0].name)


def _fits(shape: list[Any], sizes: tuple[int, ...]) -> bool:
    """Whether a graph's shape, open sizes as names or None, takes any batch of rows of these sizes."""
    same = len(shape) == 1 + len(sizes) and not isinstance(shape[0], int)
    return same and all(
        not isinstance(given, int) or given == size for given, size in zip(shape[1:], sizes, strict=True)
    )
