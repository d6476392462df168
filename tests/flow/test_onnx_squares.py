"""A foreign model of squares as an ONNX graph: added by its card, and mapped as the same network of our own."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from engine.errors import InputError
from engine.models import load_model, read_card, write_model
from engine.models.cnn3d import CNN3D
from engine.models.series import to_bytes
from engine.predict import classify_at
from engine.types import FeatureBlock
from jobs.cli import app
from tests.engine.made_models import DOMAIN, made_card
from tests.flow.flow import Job

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

STEPS, FEATURES, CLASSES, PATCH = 8, ("nir", "ndvi", "vv"), 4, 5
SCALED = {"lower": (0.0, -0.2, 0.0), "upper": (0.6, 1.0, 0.3), "fill": (0.3, 0.4, 0.1)}


@pytest.fixture(scope="module")
def network() -> CNN3D:
    """A network of squares with random weights, whose answers are spread over the classes."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(4)
        made = CNN3D(STEPS, len(FEATURES), CLASSES, PATCH).eval()
        logits = made(torch.rand(200, 1, len(FEATURES), 1, 1).expand(200, STEPS, len(FEATURES), PATCH, PATCH))
        out = [layer for layer in made.modules() if isinstance(layer, torch.nn.Linear)][-1]
        out.bias.sub_(logits.mean(0)).div_(logits.std(0))
        out.weight.div_(logits.std(0)[:, None])
    return made


@pytest.fixture(scope="module")
def packages(network: CNN3D, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The network as a package of our own family, and as one that ``tilth model add`` makes of its ONNX export."""
    pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript to export")
    root, weights = tmp_path_factory.mktemp("squares"), to_bytes(network)
    card = made_card(weights, STEPS, len(FEATURES), CLASSES, "cnn3d")
    recipe = card.recipe.model_copy(update={"features": FEATURES, "step_days": 30, "season_start": "03-01"})
    changes = {"recipe": recipe, "units": recipe.units, "mode": "patch", "halo": PATCH // 2, **SCALED}
    card = card.model_copy(update=changes)
    write_model(card, weights, str(root / "own"), DOMAIN)
    square, buffer = torch.rand(3, STEPS, len(FEATURES), PATCH, PATCH), io.BytesIO()
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(network, (square,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    assert program is not None
    program.save(buffer)
    (root / "squares.onnx").write_bytes(buffer.getvalue())
    told = CliRunner().invoke(
        app, ["model", "add", f"{root}/squares.onnx", f"{root}/foreign", "--card", described(root)],
        catch_exceptions=False,
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    return {"own": str(root / "own"), "foreign": str(root / "foreign"), "file": str(root / "squares.onnx")}


def described(root: Path, **fields: Any) -> str:
    """The card that a person writes, from what our own package says; None takes a field out."""
    card = read_card(str(root / "own")).model_dump(mode="json")
    for name in ("family", "weights", "weights_sha256", "weights_bytes", "golden_sha256", "parameters"):
        del card[name]
    whole = {**card, "domain": DOMAIN.model_dump(mode="json"), **fields}
    path = root / "card.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in whole.items() if value is not None}))
    return str(path)


def test_it_keeps_its_contract_and_says_how_far_it_looks(packages: dict[str, str]) -> None:
    told = CliRunner().invoke(app, ["model", "verify", packages["foreign"], "--json"], catch_exceptions=False)
    facts = json.loads(told.output)
    assert facts["kept"] and all(clause["kept"] for clause in facts["clauses"] if clause["name"] != "familiarity")
    shown = CliRunner().invoke(app, ["model", "show", packages["foreign"]], catch_exceptions=False)
    assert "patch of 5 x 5 pixels, halo 2" in shown.output and "onnx" in shown.output


def test_squares_are_cut_from_a_block_as_for_the_network_itself(packages: dict[str, str]) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(-0.1, 0.7, (STEPS, len(FEATURES), 20, 22)).astype(np.float32)
    x[:, 2, 3:6, 4:9] = np.nan
    block = FeatureBlock(x, np.ones((20, 22), np.bool_))
    rows, cols = np.nonzero(np.ones((16, 18), np.bool_))
    found = [classify_at(load_model(packages[name]), block, rows, cols, 32) for name in ("foreign", "own")]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert len(np.unique(found[0][0])) > 1
    assert np.abs(found[0][1].astype(int) - found[1][1]).max() <= 1, "confidence apart from rounding"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"halo": 1}, rf"expected: one input \(batch, {STEPS}, 3, 3, 3\)"),
        ({"mode": "pixel", "halo": None}, rf"expected: one input \(batch, {STEPS}, 3\)"),
        ({"mode": None}, "a halo goes with mode patch"),
        ({"halo": 17}, "halo: 17"),
    ],
)
def test_a_card_that_looks_less_far_than_its_graph_is_refused(
    packages: dict[str, str], tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    card = described(Path(packages["own"]).parent, **fields)
    with pytest.raises(InputError, match=words):
        CliRunner().invoke(
            app, ["model", "add", packages["file"], f"{tmp_path}/m", "--card", card], catch_exceptions=False
        )
    assert not (tmp_path / "m").exists()


def test_it_maps_what_the_network_itself_maps(packages: dict[str, str], finished: Job, tmp_path: Path) -> None:
    maps = []
    for name in ("own", "foreign"):
        job = finished.with_({"labels": None, "model": {"uri": packages[name]}, "output.uri": f"{tmp_path}/{name}"})
        job = replace(job, folder=tmp_path)
        told = CliRunner().invoke(app, ["submit", job.yaml], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        maps.append(job.product("class"))
    assert len(np.unique(maps[0])) > 2
    assert (maps[0] == maps[1]).mean() > 0.999
