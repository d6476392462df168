"""``tilth model``: what a person types, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load, save
from typer.testing import CliRunner

from engine.errors import InputError
from engine.models import load_model, model_digest, read_card, write_model
from engine.models.golden import GOLDEN_NAME
from engine.models.series import to_bytes
from engine.training import TrainOptions, fit
from jobs.cli import app
from jobs.spec import example
from tests.engine.made_models import (
    DOMAIN,
    MADE_CLASSES,
    MADE_RECIPE,
    made_card,
    made_network,
    made_pixels,
    made_samples,
    made_svm,
)
from tests.servers.s3 import S3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trained forest with all that training writes about a model."""
    options = TrainOptions(family="forest", trees=10, block_m=500, name="made-forest", licence="CC0-1.0")
    fitted = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options)
    folder = str(tmp_path_factory.mktemp("models") / "forest")
    write_model(fitted.card, fitted.weights, folder, DOMAIN, fitted.golden, fitted.familiarity)
    return folder


def tilth(*words: str) -> str:
    """The standard output of a command that ends well; its error is raised."""
    result = CliRunner().invoke(app, ["model", *words], catch_exceptions=False, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.output


def described(folder: Path, **fields: object) -> str:
    """A card of a person's, for weights of 5 steps, 3 features and 4 classes; None takes a field out."""
    card = made_card(b"x", 5, 3, 4).model_dump(mode="json")
    for name in ("weights", "weights_sha256", "weights_bytes", "golden_sha256"):
        del card[name]
    whole = {**card, "domain": DOMAIN.model_dump(mode="json"), **fields}
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in whole.items() if value is not None}))
    return str(path)


def test_show_tells_what_a_model_needs_gives_and_how_good_it_was(model: str) -> None:
    text = tilth("show", model)
    kappa = read_card(model).training["accuracy"]["kappa"]
    for words in ("made-forest", "12 steps of 10 days from 01-01", "04-30", "ndvi", "index", "linear power", "middle",
                  f"kappa {kappa:.3f}", "CC0-1.0", model_digest(model), "temperature"):  # fmt: skip
        assert words in text
    facts = json.loads(tilth("show", model, "--json"))
    assert facts["card"] == read_card(model).model_dump(mode="json")
    assert facts["digest"] == model_digest(model) and facts["cut_offs"] == ["04-30"]


def test_show_says_what_a_card_does_not_know(tmp_path: Path) -> None:
    write_model(made_card(b"x", 5, 3, 4), b"x", str(tmp_path), DOMAIN)
    text = tilth("show", str(tmp_path))
    assert "accuracy" in text and "not known" in text and "none" in text


def test_verify_tells_every_clause_and_the_speed(model: str) -> None:
    text = tilth("verify", model)
    for words in ("ok  files", "ok  golden pair: equal to the bit", "ok  batch size", "ok  batch order", "ok  no data"):
        assert words in text
    assert "rows/s on one core" in text and "BAD" not in text
    facts = json.loads(tilth("verify", model, "--json"))
    assert facts["kept"] and facts["rows_per_second_and_core"] > 100 and len(facts["clauses"]) == 9


def test_verify_names_the_broken_clause_and_ends_with_2(model: str, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    tilth("add", model, str(target))
    pair = load((target / GOLDEN_NAME).read_bytes())
    wrong = save({"x": pair["x"], "p": np.roll(pair["p"], 1, axis=1).copy()})
    card = read_card(model)
    from engine.models.golden import with_golden
    from engine.models.package import read_familiarity

    weights = (target / card.weights).read_bytes()
    write_model(with_golden(card, wrong), weights, str(target), DOMAIN, wrong, read_familiarity(model))
    result = CliRunner().invoke(app, ["model", "verify", str(target), "--json"])
    facts = json.loads(result.output)
    assert result.exit_code == 2 and facts["broken"] == ["golden pair"] and facts["rows_per_second_and_core"] is None
    (target / card.weights).write_bytes(b"cut short")
    result = CliRunner().invoke(app, ["model", "verify", str(target)])
    assert result.exit_code == 2 and "BAD files" in result.output and "broken: files" in result.output
    with pytest.raises(InputError, match=r"breaks its contract: files"):
        tilth("add", str(target), str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_add_copies_a_whole_model_byte_for_byte(model: str, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    assert model_digest(model) in tilth("add", model, str(target))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in Path(model).iterdir()
    }
    with pytest.raises(InputError, match="has its card already"):
        tilth("add", model, str(target), "--card", "card.yaml")


def test_add_takes_a_model_to_s3_and_back(
    model: str, s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    uri = f"s3://{bucket}/models/forest"
    tilth("add", model, uri)
    tilth("add", uri, str(tmp_path / "back"))
    assert model_digest(uri) == model_digest(model) == model_digest(str(tmp_path / "back"))
    assert json.loads(tilth("verify", uri, "--json"))["kept"]


def test_add_makes_a_package_of_safetensors_and_a_card(tmp_path: Path) -> None:
    (tmp_path / "crops.safetensors").write_bytes(to_bytes(made_network(5, 3, 4)))
    target = str(tmp_path / "model")
    tilth("add", str(tmp_path / "crops.safetensors"), target, "--card", described(tmp_path))
    card = read_card(target)
    assert card.family == "tempcnn" and card.golden_sha256 is not None and card.weights == "model.safetensors"
    assert load_model(target).predict(made_pixels(8, 5, 3)).shape == (8, 4)
    assert json.loads(tilth("verify", target, "--json"))["kept"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"units": ["dB"] * 3}, r"blue is in 'dB'"),
        ({"units": None, "lower": [0.0]}, "one finite number per feature"),
        ({"familly": "svm"}, "familly: unknown key; did you mean family"),
        ({"recipe": {"features": ["nvdi"], "steps": 5}}, "nvdi"),
        ({"family": "svm"}, "no svm of this card"),
        ({"domain": None}, r"no card with a domain.*jobs/examples/card\.yaml"),
        ({"domain": {"geometry": {}, "start": "soon", "end": "2024-10-01"}}, "start"),
        ({"parameters": None}, "parameters: is missing"),
    ],
)
def test_a_card_that_is_wrong_is_refused_and_nothing_is_written(
    fields: dict[str, object], words: str, tmp_path: Path
) -> None:
    (tmp_path / "crops.safetensors").write_bytes(to_bytes(made_network(5, 3, 4)))
    with pytest.raises(InputError, match=words):
        tilth("add", str(tmp_path / "crops.safetensors"), str(tmp_path / "m"), "--card", described(tmp_path, **fields))
    assert not (tmp_path / "m").exists()


def test_a_file_without_a_card_and_a_card_that_is_no_yaml_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "crops.safetensors"
    weights.write_bytes(made_svm()[0].weights)
    with pytest.raises(InputError, match="--card FILE"):
        tilth("add", str(weights), str(tmp_path / "m"))
    (tmp_path / "card.yaml").write_text("name: [")
    for card in ("card.yaml", "nothing.yaml"):
        with pytest.raises(InputError, match=rf"{card}: cannot be read"):
            tilth("add", str(weights), str(tmp_path / "m"), "--card", str(tmp_path / card))


def test_a_model_that_breaks_its_contract_is_not_added(tmp_path: Path) -> None:
    network = made_network(5, 3, 4)
    with torch.no_grad():
        network.out.bias.fill_(float("nan"))
    (tmp_path / "crops.safetensors").write_bytes(to_bytes(network))
    with pytest.raises(InputError, match=r"breaks its contract: .*probabilities: 64 of 64 rows are not finite"):
        tilth("add", str(tmp_path / "crops.safetensors"), str(tmp_path / "m"), "--card", described(tmp_path))
    assert not (tmp_path / "m").exists()


def test_a_pickle_is_refused_by_name_and_by_content_with_exit_code_2(tmp_path: Path) -> None:
    for name in ("model.pt", "model.safetensors"):
        torch.save({"w": torch.ones(2)}, tmp_path / name)
        with pytest.raises(InputError, match=r"a pickle, which runs whatever code.*not opened.*torch\.onnx\.export"):
            tilth("add", str(tmp_path / name), str(tmp_path / "m"))
    command = [sys.executable, "-m", "jobs", "model", "add", str(tmp_path / "model.pt"), str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "a pickle" in done.stderr and "Traceback" not in done.stderr


def test_the_cards_example_makes_a_package_of_a_graph_that_fits_it(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    matrix = np.linspace(-1, 1, 120, dtype=np.float32).reshape(60, 2)
    flat = onnx.helper.make_node("Flatten", ["x"], ["flat"], axis=1)
    product = onnx.helper.make_node("MatMul", ["flat", "matrix"], ["y"])
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info("x", kind, ["n", 20, 3])]
    gives = [onnx.helper.make_tensor_value_info("y", kind, ["n", 2])]
    weights = [onnx.numpy_helper.from_array(matrix, "matrix")]
    graph = onnx.helper.make_graph([flat, product], "made", ends, gives, weights)
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "maize.onnx")
    (tmp_path / "card.yaml").write_text(example("card"))
    target = str(tmp_path / "model")
    tilth("add", str(tmp_path / "maize.onnx"), target, "--card", str(tmp_path / "card.yaml"))
    card = read_card(target)
    assert card.family == "onnx" and card.parameters == 120 and [c.name for c in card.classes] == ["maize", "other"]
    assert json.loads(tilth("verify", target, "--json"))["kept"]
    assert "onnx, 120 parameters" in tilth("show", target)
