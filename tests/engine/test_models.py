"""Cards, the model folder, and the two families behind one protocol."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pystac
import pytest
import skops.io
import torch
from pydantic import ValidationError
from pystac.extensions.mlm import MLMExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from torch import nn

from engine.errors import InputError
from engine.models import Card, Recipe, load_model, model_digest, normalise, read_card, write_model
from engine.models import forest as forests
from engine.models import series as networks
from engine.models.item import item_bytes
from engine.models.scaling import probabilities
from tests.engine.made_models import (
    DOMAIN,
    made_card,
    made_forest,
    made_forest_classifier,
    made_network,
    made_pixels,
    made_tempcnn,
)
from tests.servers.s3 import S3


@pytest.mark.parametrize("family", ["tempcnn", "cnn1d"])
@pytest.mark.parametrize("steps", [4, 9, 34])
def test_a_network_laid_out_for_prediction_agrees_with_the_trained_one_to_rounding(family: str, steps: int) -> None:
    x = torch.rand(200, steps, 13)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(3)
        network = networks.build(family, networks.Shape(steps, 13, 6)).eval()
        for norm in (one for one in network.modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)):
            for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
                assert values is not None
                values.uniform_(0.5, 1.5)
        expected = network(x)
        found = networks.for_prediction(network)(x)
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


def test_a_recipe_knows_the_layers_behind_its_features() -> None:
    assert Recipe(features=("ndvi", "gcvi"), steps=3).layers == ("optical",)
    assert Recipe(features=("lst", "vh", "evi"), steps=3).layers == ("optical", "radar", "thermal")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": ("ndvi", "nvdi")}, "nvdi"),
        ({"features": ("ndvi", "ndvi")}, "twice"),
        ({"features": ()}, "at least 1"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"season_start": "02-30"}, "02-30"),
        ({"fill": "spline"}, "linear"),
        ({"step": 3}, "Extra inputs"),
    ],
)
def test_a_wrong_recipe_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Recipe.model_validate({"features": ("ndvi",), "steps": 3, **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lower": (0.0,)}, "one finite number per feature"),
        ({"fill": (float("nan"),) * 13}, "finite"),
        ({"upper": (0.1,) * 13}, "below upper"),
        ({"weights": "../secret"}, "pattern"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"family": "oracle"}, "tempcnn"),
    ],
)
def test_a_wrong_card_is_refused(change: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Card.model_validate({**made_card(b"x").model_dump(), **change})


def test_normalising_scales_clips_fills_and_leaves_its_input_alone() -> None:
    x = np.array([[[0.1, 0.5, 2.0], [-1.0, np.nan, 0.9]]], np.float32)
    before = x.copy()
    found = normalise(x, made_card(b"x", 2, 3, 4))
    np.testing.assert_allclose(found, [[[0, 0.5, 1], [0, 0.25, 1]]], atol=1e-6)
    np.testing.assert_array_equal(x, before)
    assert found.dtype == np.float32 and found.flags["C_CONTIGUOUS"]


def test_temperature_softens_without_changing_the_winner() -> None:
    logits = np.array([[2.0, 1.0, -400.0]], np.float32)
    hard, soft = probabilities(logits, 0.5), probabilities(logits, 3.0)
    assert hard.argmax() == soft.argmax() == 0 and hard.max() > soft.max()
    np.testing.assert_allclose([hard.sum(), soft.sum()], 1, rtol=1e-6)


@pytest.mark.parametrize("family", ["tempcnn", "forest"])
def test_a_written_model_reads_back_equal_and_predicts_the_same(family: str, tmp_path: Path) -> None:
    if family == "forest":
        weights, before = forests.to_bytes(made_forest()), made_forest_classifier()
    else:
        weights, before = networks.to_bytes(made_network(5, 3, 4)), made_tempcnn(5, 3, 4)
    for uri in (str(tmp_path / "model"), "memory://models/one"):
        write_model(before.card, weights, uri, DOMAIN)
        assert read_card(uri) == before.card
        x = made_pixels(64, 5, 3)
        np.testing.assert_array_equal(load_model(uri).predict(x), before.predict(x))
    assert model_digest(str(tmp_path / "model")) == model_digest("memory://models/one")
    assert not list(tmp_path.glob("**/*.part"))


def test_a_model_lives_on_s3_as_on_disk(s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in s3.env().items():
        monkeypatch.setenv(name, value)
    weights = networks.to_bytes(made_network(5, 3, 4))
    card = made_card(weights, 5, 3, 4)
    uri = f"s3://{bucket}/models/one"
    with pytest.raises(InputError, match=r"models/one/model\.json: no such file"):
        read_card(uri)
    for _ in range(2):  # the second time over what is there
        write_model(card, weights, uri, DOMAIN)
        assert load_model(uri).card == card
    write_model(card, weights, str(tmp_path), DOMAIN)
    assert model_digest(uri) == model_digest(str(tmp_path))
    with pytest.raises(InputError, match="no such file or bucket"):
        write_model(card, weights, "s3://no-such-bucket-here/model", DOMAIN)


def test_the_model_item_is_valid_stac_and_pystac_reads_its_mlm_fields() -> None:
    card = made_card(b"x")
    item = json.loads(item_bytes(card, DOMAIN))
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0", "model.json")
    mlm = MLMExtension.ext(pystac.Item.from_dict(item))
    assert mlm.mlm_name == "made-model" and mlm.architecture == "TempCNN" and mlm.framework == "PyTorch"
    assert mlm.tasks == ["semantic-segmentation"]
    assert [getattr(band, "name", band) for band in mlm.input[0].bands] == list(card.recipe.features)
    assert len(mlm.output[0].classes) == 9
    assert item["bbox"] == [3.0, 50.8, 3.1, 50.9]
    assert item["assets"]["weights"]["file:checksum"] == "1220" + card.weights_sha256


def test_equal_cards_give_equal_item_bytes_and_any_change_another_digest(tmp_path: Path) -> None:
    card = made_card(b"x")
    assert item_bytes(card, DOMAIN) == item_bytes(made_card(b"x"), DOMAIN)
    write_model(card, b"x", str(tmp_path), DOMAIN)
    digest = model_digest(str(tmp_path))
    write_model(made_card(b"y"), b"y", str(tmp_path), DOMAIN)
    assert model_digest(str(tmp_path)) != digest


def test_changed_or_missing_weights_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SHA-256"):
        write_model(made_card(b"right"), b"wrong", str(tmp_path), DOMAIN)
    write_model(made_card(b"right"), b"right", str(tmp_path), DOMAIN)
    (tmp_path / "model.safetensors").write_bytes(b"wrong")
    with pytest.raises(InputError, match=r"SHA-256.*train anew"):
        load_model(str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"properties": {"tilth:card": {"family": "oracle"}}}', b"\xff"]
)
def test_a_model_item_that_is_none_is_an_input_error(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(text)
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(str(tmp_path))


def test_a_model_of_an_unknown_family_is_named(tmp_path: Path) -> None:
    write_model(made_card(b"x"), b"x", str(tmp_path), DOMAIN)
    text = (tmp_path / "model.json").read_text().replace('"family": "tempcnn"', '"family": "oracle"')
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"tilth:card\.family.*tempcnn"):
        read_card(str(tmp_path))


def test_no_model_there_and_no_such_protocol_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_card(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="nonsense"):
        read_card("nonsense://model")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/model"):
        write_model(made_card(b"x"), b"x", str(tmp_path / "file"), DOMAIN)


def test_weights_of_another_shape_or_kind_are_refused() -> None:
    weights = networks.to_bytes(made_network(5, 3, 4))
    with pytest.raises(InputError, match="no tempcnn of this card"):
        networks.NetworkClassifier(made_card(weights, 6, 3, 4), weights)
    with pytest.raises(InputError, match="no tempcnn of this card"):
        networks.NetworkClassifier(made_card(b"junk", 5, 3, 4), b"junk")
    with pytest.raises(InputError, match="no skops file"):
        forests.ForestClassifier(made_card(b"junk", 5, 3, 4, "forest"), b"junk")


def test_a_device_that_is_not_there_is_refused() -> None:
    weights = networks.to_bytes(made_network(5, 3, 4))
    with pytest.raises(InputError, match="cuda:99"):
        networks.NetworkClassifier(made_card(weights, 5, 3, 4), weights, "cuda:99")


def test_equal_forests_give_equal_bytes_whatever_grew_them() -> None:
    first = forests.to_bytes(made_forest())
    assert first == forests.to_bytes(made_forest())
    assert first == forests.to_bytes(made_forest(jobs=2).set_params(n_jobs=1))
    again = forests.ForestClassifier(made_card(first, 5, 3, 4, "forest"), first)
    x = made_pixels(50, 5, 3)
    scaled = normalise(x, again.card)
    expected = made_forest().predict_proba(scaled.reshape(50, -1))
    np.testing.assert_allclose(again.logits(scaled), np.log(expected + forests.RARE), rtol=1e-6)


def test_a_skops_file_with_a_foreign_type_is_refused() -> None:
    weights = skops.io.dumps(subprocess.Popen)
    with pytest.raises(InputError, match="foreign types"):
        forests.ForestClassifier(made_card(weights, 5, 3, 4, "forest"), weights)
    weights = skops.io.dumps({"a": 1})
    with pytest.raises(InputError, match="a dict"):
        forests.ForestClassifier(made_card(weights, 5, 3, 4, "forest"), weights)


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 15), ("feature", -5)]
)
def test_a_forest_whose_nodes_point_astray_is_refused_before_it_crashes(field: str, value: int) -> None:
    weights = _with_nodes(forests.to_bytes(made_forest()), field, value)
    with pytest.raises(InputError, match="out of range"):
        forests.ForestClassifier(made_card(weights, 5, 3, 4, "forest"), weights)


def test_a_forest_of_other_inputs_or_classes_is_refused() -> None:
    weights = forests.to_bytes(made_forest())
    for steps, classes in ((6, 4), (5, 3)):
        with pytest.raises(InputError, match="out of range"):
            forests.ForestClassifier(made_card(weights, steps, 3, classes, "forest"), weights)


def test_cards_and_options_are_read_without_torch_or_scikit_learn() -> None:
    code = (
        "import sys, engine.models, engine.predict, engine.accuracy, engine.training;"
        "print([m for m in ('torch', 'sklearn', 'scipy', 'skops') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _with_nodes(weights: bytes, field: str, value: int) -> bytes:
    """The archive with ``field`` of the first tree's root changed."""
    source, target = zipfile.ZipFile(io.BytesIO(weights)), io.BytesIO()
    changed = False
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(".npy") and not changed:
                array = np.load(io.BytesIO(data))
                if array.dtype.names and field in array.dtype.names:
                    array[field][0], changed = value, True
                    buffer = io.BytesIO()
                    np.save(buffer, array)
                    data = buffer.getvalue()
            archive.writestr(name, data)
    assert changed
    return target.getvalue()
