"""Random forest (Breiman 2001) on the flattened series, by scikit-learn, kept as a skops archive.

skops stores plain arrays and names of known types, never code. What it leaves to us we do here: the node arrays are
checked before use (scikit-learn follows their indices unchecked), and the archive is rewritten so that equal forests
give equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from skops.io.exceptions import UntrustedTypesFoundException

from engine.errors import InputError
from engine.models.card import Card
from engine.models.classifier import Calibrated

TRUSTED = ["sklearn.tree._tree.Tree"]
"""The one type beyond skops' own list; its danger, node indices out of range, is excluded by ``_check_trees``."""

RARE = 1e-3
"""Added to a class' share of the votes before the logarithm: no leaf has seen everything."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class ForestClassifier(Calibrated):
    """A trained forest; see ``engine.models.package.Classifier`` for its promise. Runs on one thread: scikit-learn's
    threads add up the trees in the order they finish, and float sums depend on it."""

    def __init__(self, card: Card, weights: bytes) -> None:
        super().__init__(card)
        self._forest = _open(weights, card)

    def _forward(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logarithms of the classes' mean shares over the trees."""
        shares = self._forest.predict_proba(scaled.reshape(len(scaled), -1))
        return np.log(shares + RARE).astype(np.float32)


def to_bytes(forest: RandomForestClassifier) -> bytes:
    """The forest as skops bytes; equal forests give equal bytes.

    skops names files and objects by their memory address and stamps the time: both are replaced by running numbers
    in order of appearance and by the zip format's first day.
    """
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(forest)))
    schema = json.loads(source.read("schema.json"))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}
    _renumber(schema, numbers, files)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for old, new in files.items():
            _add(archive, new, source.read(old))
        _add(archive, "schema.json", json.dumps(schema).encode())
    return target.getvalue()


def node_count(forest: RandomForestClassifier) -> int:
    """Nodes of all trees."""
    return sum(int(tree.tree_.node_count) for tree in forest.estimators_)


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, _ZIP_EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data, compresslevel=6)


def _renumber(node: Any, numbers: dict[int, int], files: dict[str, str]) -> None:
    """Replace addresses in a skops schema, in place, by numbers in order of first appearance."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, files)
    elif isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers))
        if isinstance(node.get("file"), str):
            node["file"] = files.setdefault(node["file"], f"{len(files)}.npy")
        for child in node.values():
            _renumber(child, numbers, files)


def _open(weights: bytes, card: Card) -> RandomForestClassifier:
    place = f"model {card.name}, {card.weights}"
    try:
        forest = skops.io.loads(weights, trusted=TRUSTED)
    except UntrustedTypesFoundException as error:
        raise InputError(
            f"a file with foreign types ({error})",
            expected="a forest and nothing else",
            place=place,
            remedy="do not use this file; train the model anew",
        ) from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise InputError(f"no skops file ({error})", place=place, remedy="train the model anew") from error
    if not isinstance(forest, RandomForestClassifier):
        raise InputError(f"a {type(forest).__name__}", expected="RandomForestClassifier", place=place)
    _check_trees(forest, card, place)
    return forest.set_params(n_jobs=1)


def _check_trees(forest: RandomForestClassifier, card: Card, place: str) -> None:
    """Refuse a forest of other inputs or classes, or with a node that points anywhere but forward into its tree."""
    inputs, classes = card.recipe.steps * len(card.recipe.features), len(card.classes)
    for index, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        here = np.arange(tree.node_count)
        left, right = tree.children_left, tree.children_right
        inner = left != -1
        forward = all(
            (side[inner] > here[inner]).all() and (side[inner] < tree.node_count).all() for side in (left, right)
        )
        named = ((tree.feature[inner] >= 0) & (tree.feature[inner] < inputs)).all()
        shaped = tree.n_features == inputs and tree.value.shape == (tree.node_count, 1, classes)
        if not (tree.node_count and forward and named and shaped):
            raise InputError(
                f"tree {index} with nodes, inputs or classes out of range",
                expected=f"{inputs} inputs and {classes} classes",
                place=place,
                remedy="do not use this file; train the model anew",
            )
