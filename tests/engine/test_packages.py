"""Model packages: what cards say, the golden pair, the contract, and files that are refused."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pystac
import pytest
import torch
from pydantic import ValidationError
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from engine.bands import FEATURE_BANDS, FEATURE_UNITS
from engine.errors import InputError
from engine.models import Card, Recipe, load_model, open_model, read_card, write_model
from engine.models.classifier import Calibrated
from engine.models.contract import Clause, examine, examine_model, made_rows, throughput
from engine.models.golden import GOLDEN_NAME, golden_bytes, golden_pair, golden_rows, with_golden
from engine.models.item import item_bytes
from engine.models.package import copy_model, model_digest, read_golden
from engine.models.refusal import refuse_code, refuse_name
from engine.models.scaling import normalise, probabilities
from engine.training import TrainOptions, fit
from tests.engine.made_models import (
    DOMAIN,
    MADE_CLASSES,
    MADE_RECIPE,
    made_card,
    made_forest,
    made_forest_classifier,
    made_network,
    made_pixels,
    made_samples,
    made_svm,
    made_tempcnn,
)


def changed(**fields: object) -> Card:
    """The made card with other fields."""
    return Card.model_validate({**made_card(b"x").model_dump(), **fields})


def written(folder: Path) -> str:
    """A small TempCNN with its golden pair, written."""
    from engine.models.series import to_bytes

    weights = to_bytes(made_network(5, 3, 4))
    model = made_tempcnn(5, 3, 4)
    golden = golden_bytes(model, golden_rows(made_pixels(50, 5, 3)))
    write_model(with_golden(model.card, golden), weights, str(folder), DOMAIN, golden)
    return str(folder)


def names(clauses: list[Clause], kept: bool | None) -> list[str]:
    return [clause.name for clause in clauses if clause.kept is kept]


def test_every_feature_has_a_unit() -> None:
    assert set(FEATURE_UNITS) == set(FEATURE_BANDS)
    assert made_card(b"x").units[5:8] == ("linear power", "linear power", "kelvin")


@pytest.mark.parametrize(
    ("start", "steps", "expected"), [("01-01", 37, "01-05"), ("01-01", 1, "01-10"), ("10-01", 24, "05-28")]
)
def test_the_cut_off_is_the_last_steps_last_day(start: str, steps: int, expected: str) -> None:
    assert Recipe(features=("ndvi",), steps=steps, season_start=start).last_day(steps) == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"units": ("dB",) * 13}, "blue is in 'dB', but what Tilth gives is in 'reflectance'"),
        ({"units": ("index",)}, "one unit per feature"),
        ({"halo": 5}, "mode pixel with halo 5"),
        ({"mode": "patch"}, "mode patch with halo 0"),
        ({"mode": "patch", "halo": 99}, "halo"),
        ({"mode": "scene"}, "pixel"),
        ({"golden_sha256": "1"}, "golden_sha256"),
    ],
)
def test_a_card_that_contradicts_itself_or_our_units_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        changed(**fields)


def test_a_card_written_before_these_fields_is_read_with_their_defaults() -> None:
    old = made_card(b"x").model_dump(mode="json")
    for name in ("units", "mode", "gives", "golden_sha256"):
        del old[name]
    assert Card.model_validate(old) == made_card(b"x")


@pytest.mark.parametrize("mode", ["pixel", "patch", "parcel"])
def test_the_item_tells_units_mode_cut_off_and_split(mode: str) -> None:
    halo = 5 if mode == "patch" else 0
    card = changed(mode=mode, halo=halo, training={"split": {"sha256": "f" * 64}}, golden_sha256="e" * 64)
    item = json.loads(item_bytes(card, DOMAIN))
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, "1.1.0", "model.json")
    properties = item["properties"]
    assert properties["mlm:tasks"] == ["classification" if mode == "parcel" else "semantic-segmentation"]
    assert properties["tilth:mode"] == mode and properties["tilth:halo_px"] == card.halo
    assert (
        properties["tilth:units"]["lst"] == "kelvin" and {"name": "vv", "unit": "linear power"} in properties["bands"]
    )
    assert properties["tilth:cut_offs"] == ["12-06"] and properties["tilth:training_split_sha256"] == "f" * 64
    model_input = properties["mlm:input"][0]["input"]
    assert model_input["shape"] == ([-1, 34, 13, 11, 11] if mode == "patch" else [-1, 34, 13])
    assert len(model_input["dim_order"]) == len(model_input["shape"])
    assert item["assets"]["golden"]["file:checksum"] == "1220" + "e" * 64


@pytest.mark.parametrize("family", ["tempcnn", "forest", "svm"])
def test_training_leaves_a_golden_pair_and_the_model_keeps_its_contract(family: str, tmp_path: Path) -> None:
    options = TrainOptions(family=family, epochs=2, trees=10, block_m=500)
    fitted = fit(made_samples(), MADE_RECIPE, MADE_CLASSES, options)
    write_model(fitted.card, fitted.weights, str(tmp_path), DOMAIN, fitted.golden, fitted.familiarity)
    x, p = golden_pair((tmp_path / GOLDEN_NAME).read_bytes(), "here")
    assert x.shape == (16, 12, 2) and np.isnan(x[-1, :, 0]).all() and not np.isnan(x[:-1]).any()
    np.testing.assert_array_equal(load_model(str(tmp_path)).predict(x), p)
    clauses = examine(str(tmp_path))
    assert names(clauses, False) == names(clauses, None) == []
    assert "equal to the bit" in next(clause.found for clause in clauses if clause.name == "golden pair")
    assert len(fitted.card.training["split"]["sha256"]) == 64


def test_the_split_has_one_digest_whatever_the_family_and_another_for_other_ground() -> None:
    def split(family: str, blocks: int) -> str:
        options = TrainOptions(family=family, trees=2, block_m=500)
        return str(fit(made_samples(blocks=blocks), MADE_RECIPE, MADE_CLASSES, options).report["split"]["sha256"])

    assert split("forest", 15) == split("svm", 15) != split("forest", 16)


@pytest.mark.parametrize("made", [made_tempcnn, made_forest_classifier], ids=["tempcnn", "forest"])
def test_whole_models_keep_every_clause(made: object) -> None:
    model = made(5, 3, 4) if made is made_tempcnn else made()  # type: ignore[operator]
    assert names(examine_model(model, None, "here"), False) == []
    assert throughput(model) > 100


def test_made_rows_are_shaped_like_the_card_asks_and_miss_data_here_and_there() -> None:
    x = made_rows(changed(mode="patch", halo=2), 16)
    assert x.shape == (16, 34, 13, 5, 5) and np.isnan(x[::8, :, 0]).all() and np.isnan(x).mean() < 0.05
    np.testing.assert_array_equal(x, made_rows(changed(mode="patch", halo=2), 16))
    assert not np.isnan(normalise(made_rows(made_card(b"x"), 8), made_card(b"x"))).any()


class Faulty(Calibrated):
    """Linear over the mean series, with one of the faults that models come with."""

    def __init__(self, fault: str) -> None:
        super().__init__(made_card(b"x", 5, 3, 4))
        self.fault = fault

    def predict(self, x: np.ndarray) -> np.ndarray:
        if self.fault == "blind spots":
            return probabilities(self.logits(np.clip(x, 0, 1)), 1.0)
        p = super().predict(x)
        return p * np.float32(1.1) if self.fault == "no distribution" else p

    def _forward(self, scaled: np.ndarray) -> np.ndarray:
        rows = scaled.mean(axis=1) @ np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
        if self.fault == "learns from its batch":
            rows = rows - rows.mean(axis=0)
        if self.fault == "knows its place":
            rows = rows + np.linspace(0, 1e-6, len(rows), dtype=np.float32)[:, None] * np.arange(4, dtype=np.float32)
        if self.fault == "forgets a class":
            rows = rows[:, :3]
        return rows.astype(np.float32)


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        ("none", []),
        ("learns from its batch", ["batch size", "batch order", "no data beside data"]),
        ("knows its place", ["batch order"]),
        ("blind spots", ["probabilities", "batch size", "batch order", "no data"]),
        ("no distribution", ["probabilities", "no data"]),
        ("forgets a class", ["classes"]),
    ],
)
def test_each_fault_breaks_the_clauses_that_are_about_it(fault: str, broken: list[str]) -> None:
    assert names(examine_model(Faulty(fault), None, "here"), False) == broken


def test_a_golden_pair_of_another_model_is_told(tmp_path: Path) -> None:
    model, other = made_tempcnn(5, 3, 4), made_forest_classifier()
    golden = golden_bytes(other, golden_rows(made_pixels(50, 5, 3)))
    clause = examine_model(model, golden, "here")[0]
    assert clause.name == "golden pair" and clause.kept is False and "largest difference" in clause.found
    x = golden_rows(made_pixels(50, 6, 3))
    longer = golden_bytes(made_tempcnn(6, 3, 4), x)
    assert names(examine_model(model, longer, "here"), False) == ["every batch"]
    assert names(examine_model(model, b"junk", "here"), False) == ["every batch"]


def test_a_model_is_copied_byte_for_byte_and_leaves_no_older_pair_behind(tmp_path: Path) -> None:
    source = written(tmp_path / "one")
    copy_model(source, "memory://packages/two")
    copy_model("memory://packages/two", str(tmp_path / "three"))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "three" / path.name).read_bytes()
    assert model_digest(source) == model_digest(str(tmp_path / "three")) and read_golden(source) is not None
    weights = made_svm()[0].weights
    write_model(made_card(weights, 5, 3, 4, "svm"), weights, source, DOMAIN)
    assert not (tmp_path / "one" / GOLDEN_NAME).exists() and read_golden(source) is None
    assert names(examine(source), None) == ["golden pair", "familiarity"]


def test_damaged_files_break_the_first_clause_and_the_rest_is_not_tried(tmp_path: Path) -> None:
    source = written(tmp_path / "one")
    (tmp_path / "one" / GOLDEN_NAME).write_bytes(b"junk")
    clauses = examine(source)
    assert [clause.name for clause in clauses] == ["files"] and "SHA-256" in clauses[0].found
    with pytest.raises(InputError, match="SHA-256"):
        copy_model(source, str(tmp_path / "two"))
    assert not (tmp_path / "two").exists()


def test_a_golden_pair_that_is_not_the_cards_is_not_written(tmp_path: Path) -> None:
    model = made_forest_classifier()
    from engine.models.forest import to_bytes

    weights = to_bytes(made_forest())
    golden = golden_bytes(model, golden_rows(made_pixels(50, 5, 3)))
    for card, pair in ((model.card, golden), (with_golden(model.card, golden), None)):
        with pytest.raises(InputError, match="SHA-256"):
            write_model(card, weights, str(tmp_path), DOMAIN, pair)
    assert not list(tmp_path.iterdir())


def pickled(protocol: int) -> bytes:
    return pickle.dumps({"weights": [1.0, 2.0], "name": "x"}, protocol=protocol)


def saved(kind: str) -> bytes:
    """A small network written in one of PyTorch's own ways, or by joblib."""
    network, buffer = torch.nn.Linear(3, 2), io.BytesIO()
    if kind == "torch.save":
        torch.save(network.state_dict(), buffer)
    elif kind == "torch.save, old":
        torch.save(network.state_dict(), buffer, _use_new_zipfile_serialization=False)
    elif kind == "torch.jit":
        with pytest.warns((DeprecationWarning, FutureWarning)):
            torch.jit.save(torch.jit.script(network), buffer)
    elif kind == "torch.export":
        torch.export.save(torch.export.export(network, (torch.ones(1, 3),)), buffer)
    else:
        joblib.dump({"a": np.ones(3)}, buffer, compress=3 if kind == "joblib, compressed" else 0)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("torch.save", "a pickle, which runs whatever code"),
        ("torch.save, old", "a pickle"),
        ("torch.jit", "TorchScript"),
        ("torch.export", r"a torch\.export archive \(\.pt2\)"),
        ("joblib", "a pickle"),
        ("joblib, compressed", "a compressed file such as joblib writes"),
    ],
)
def test_weights_that_could_hold_code_are_refused_whatever_they_are_called(
    kind: str, words: str, tmp_path: Path
) -> None:
    weights = saved(kind)
    write_model(made_card(weights, 5, 3, 4), weights, str(tmp_path), DOMAIN)
    with pytest.raises(InputError, match=rf"model\.safetensors: the weights are {words}.*not opened.*save_file"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_refused(protocol: int) -> None:
    with pytest.raises(InputError, match="a pickle"):
        refuse_code(pickled(protocol), "here")


def test_weights_that_hold_no_code_are_let_through() -> None:
    from engine.models import forest, series

    for weights in (forest.to_bytes(made_forest()), series.to_bytes(made_network(5, 3, 4)), made_svm()[0].weights):
        refuse_code(weights, "here")
    for harmless in (b"", b"PK\x03\x04 cut short", b"A sentence.", b"\x08\x08 something else."):
        refuse_code(harmless, "here")


@pytest.mark.parametrize(
    ("name", "words"),
    [("model.pt", "a pickle"), ("a/b/model.PKL", "a pickle"), ("m.joblib", "a pickle"), ("m.pth", "a pickle"),
     ("m.pt2", "torch.export"), ("m.torchscript", "TorchScript")],
)  # fmt: skip
def test_names_of_such_files_are_refused_before_they_are_read(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        refuse_name(name, "here")
    refuse_name("model.safetensors", "here")


def test_a_package_whose_card_names_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    card = made_card(b"x", 5, 3, 4).model_copy(update={"weights": "model.pt"})
    write_model(card, b"x", str(tmp_path), DOMAIN)
    with pytest.raises(InputError, match=r"model\.pt is named like a pickle"):
        load_model(str(tmp_path))
    assert read_card(str(tmp_path)).weights == "model.pt"


def test_onnx_is_no_family_to_train() -> None:
    with pytest.raises(ValidationError, match="tilth model add"):
        TrainOptions(family="onnx")


def test_without_onnxruntime_an_onnx_model_names_the_extra() -> None:
    try:
        import onnxruntime  # noqa: F401  # only whether it is there
    except ImportError:
        card = made_card(b"x", 5, 3, 4).model_copy(update={"family": "onnx", "weights": "model.onnx"})
        with pytest.raises(InputError, match=r"not installed.*tilth\[onnx\]"):
            open_model(card, b"x")
    else:
        pytest.skip("onnxruntime is installed here")
