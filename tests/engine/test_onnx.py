"""Foreign models as ONNX graphs: the same numbers as PyTorch's, and nothing but the standard's operators."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.models import Card, open_model
from engine.models.bring import packed
from engine.models.contract import examine_model
from engine.models.scaling import normalise
from engine.models.series import NETWORKS
from tests.engine.made_models import made_card, made_network, made_pixels, made_tempcnn

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

FLOAT = onnx.TensorProto.FLOAT


def made(weights: bytes, **fields: Any) -> Card:
    """A card of 5 steps, 3 features and 4 classes for a graph."""
    card = made_card(weights, 5, 3, 4)
    return Card.model_validate({**card.model_dump(), "family": "onnx", "weights": "model.onnx", **fields})


def exported(network: torch.nn.Module) -> bytes:
    """A network of 5 steps and 3 features by PyTorch's own exporter, the batch left open."""
    pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript to export")
    batch = torch.export.Dim("batch", min=1)
    buffer = io.BytesIO()
    program = torch.onnx.export(
        network.eval(), (torch.rand(3, 5, 3),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    assert program is not None
    program.save(buffer)
    return buffer.getvalue()


def graph(
    nodes: list[Any] | None = None,
    *,
    rows: Any = "n",
    classes: int = 4,
    kind: int = FLOAT,
    extra: list[Any] | None = None,
) -> bytes:
    """A graph that flattens its input and multiplies it with a matrix, or another of the same ends."""
    matrix = np.linspace(-1, 1, 15 * classes, dtype=np.float32).reshape(15, classes)
    nodes = nodes or [
        onnx.helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "matrix"], ["y"]),
    ]
    opsets = [onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("com.example", 1)]
    whole = onnx.helper.make_graph(
        nodes, "made",
        [onnx.helper.make_tensor_value_info("x", kind, [rows, 5, 3])],
        [onnx.helper.make_tensor_value_info("y", FLOAT, [rows, classes])],
        [onnx.numpy_helper.from_array(matrix, "matrix"), *(extra or [])],
    )  # fmt: skip
    return bytes(onnx.helper.make_model(whole, opset_imports=opsets, ir_version=10).SerializeToString())


def test_a_graph_gives_the_logits_of_its_matrix_and_keeps_the_contract() -> None:
    weights, x = graph(), made_pixels(70, 5, 3)
    model = open_model(made(weights), weights)
    scaled = normalise(x, model.card)
    matrix = np.linspace(-1, 1, 60, dtype=np.float32).reshape(15, 4)
    np.testing.assert_allclose(model.logits(scaled), scaled.reshape(70, 15) @ matrix, rtol=1e-4, atol=1e-5)
    assert [clause.name for clause in examine_model(model, None, "here") if clause.kept is False] == []
    assert model.predict(x[:0]).shape == (0, 4)


@pytest.mark.parametrize("family", ["tempcnn", "cnn1d"])
def test_a_network_exported_by_pytorch_says_the_same_as_in_pytorch(family: str) -> None:
    if family == "tempcnn":
        network, expected = made_network(5, 3, 4), made_tempcnn(5, 3, 4)
    else:
        torch.manual_seed(3)
        network, expected = NETWORKS[family](5, 3, 4), None
    weights, x = exported(network), made_pixels(512, 5, 3)
    model = open_model(made(weights), weights)
    scaled = normalise(x, model.card)
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy(scaled)).numpy()
    np.testing.assert_allclose(model.logits(scaled), logits, rtol=0, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(model.predict(x[order]), model.predict(x)[order])
    if expected is not None:
        np.testing.assert_allclose(model.predict(x), expected.predict(x), atol=1e-5)
    assert [clause.name for clause in examine_model(model, None, "here") if clause.kept is False] == []


def test_a_graph_that_ends_in_probabilities_is_calibrated_by_their_logarithm() -> None:
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    soft, plain, x = graph(nodes), graph(), made_pixels(20, 5, 3)
    found = open_model(made(soft, gives="probabilities"), soft).predict(x)
    np.testing.assert_allclose(found, open_model(made(plain), plain).predict(x), atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"junk", "no ONNX model"),
        (b"", "no ONNX model"),
        (graph(rows=8), r"one input \(batch, 5, 3\)"),
        (graph(classes=5), "one output \\(batch, 4\\)"),
        (graph(kind=onnx.TensorProto.DOUBLE, nodes=[
            onnx.helper.make_node("Cast", ["x"], ["cast"], to=FLOAT),
            onnx.helper.make_node("Flatten", ["cast"], ["flat"], axis=1),
            onnx.helper.make_node("MatMul", ["flat", "matrix"], ["y"]),
        ]), "both float32"),
        (graph([onnx.helper.make_node("Magic", ["x"], ["y"], domain="com.example")]), "operators of com.example"),
    ],
    ids=["junk", "empty", "batch fixed", "classes", "double", "custom operator"],
)  # fmt: skip
def test_what_is_no_graph_of_the_card_is_refused(weights: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_model(made(weights or b"x"), weights)


def test_a_custom_operator_inside_a_branch_is_found() -> None:
    def branch(name: str, domain: str) -> Any:
        node = onnx.helper.make_node("Flatten" if not domain else "Magic", ["x"], [name], domain=domain)
        return onnx.helper.make_graph([node], name, [], [onnx.helper.make_tensor_value_info(name, FLOAT, None)])

    choice = onnx.helper.make_node(
        "If", ["always"], ["flat"], then_branch=branch("a", ""), else_branch=branch("b", "com.example")
    )
    multiply = onnx.helper.make_node("MatMul", ["flat", "matrix"], ["y"])
    weights = graph([choice, multiply], extra=[onnx.numpy_helper.from_array(np.array(True), "always")])
    with pytest.raises(InputError, match=r"operators of com\.example"):
        open_model(made(weights), weights)


def test_weights_in_another_file_are_refused() -> None:
    model = onnx.load_model_from_string(graph())
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location="weights.bin")
    tensor.ClearField("raw_data")
    weights = model.SerializeToString()
    with pytest.raises(InputError, match=r"weights kept in another file.*external_data=False"):
        open_model(made(weights), weights)


def test_a_graph_that_forgets_its_batch_is_caught_as_it_runs() -> None:
    nodes = [  # mixes the rows: their number is one of the sizes of the result
        onnx.helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        onnx.helper.make_node("MatMul", ["flat", "matrix"], ["rows"]),
        onnx.helper.make_node("Squeeze", ["rows"], ["y"]),
    ]
    weights = graph(nodes)
    clauses = examine_model(open_model(made(weights), weights), None, "here")
    broken = [clause for clause in clauses if clause.kept is False]
    assert [clause.name for clause in broken] == ["every batch"] and "for 1 rows" in broken[0].found


def test_a_file_and_a_card_make_a_package_with_its_golden_pair() -> None:
    weights = graph()
    fields = made(weights).model_dump(exclude={"family", "weights", "weights_sha256", "weights_bytes", "parameters"})
    package = packed(weights, ".onnx", fields, "here")
    assert package.card.family == "onnx" and package.card.parameters == 60
    assert package.card.weights == "model.onnx" and package.card.golden_sha256 is not None
    assert [clause.name for clause in package.clauses if not clause.kept] == []
