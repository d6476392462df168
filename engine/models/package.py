"""A model on disk or in a bucket: ``model.json`` and its weights file in one folder.

Weights are safetensors, skops or ONNX, checked against the card's SHA-256 before they are opened; what could hold code
(pickles, TorchScript, ``.pt2``) is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from fsspec.implementations.local import LocalFileSystem
from numpy.typing import NDArray

from engine.errors import InfrastructureError, InputError, TilthError
from engine.models.card import Card
from engine.models.domain import Domain
from engine.models.familiarity import FAMILIARITY_NAME, Reference, reference_of
from engine.models.golden import GOLDEN_NAME
from engine.models.item import card_of, domain_of, item_bytes
from engine.models.refusal import refuse_code, refuse_name
from engine.objects import filesystem

ITEM_NAME = "model.json"

_CREDENTIAL_ERRORS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError")
"""By name, since botocore is not imported where no model lies on S3."""


class Classifier(Protocol):
    """A loaded model. Row i of the result depends on row i of ``x`` and on ``len(x)`` alone."""

    @property
    def card(self) -> Card: ...

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated class probabilities: of what ``normalise`` makes of ``x`` the ``logits``, of these the calibrated
        softmax, and nothing else.

        x: (n, t, f) float32, physical units of the card's recipe, NaN where a series is missing.
        Returns (n, k) float32, classes in the card's order, rows sum to 1.
        """
        ...

    def logits(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, k) float32, before calibration, of input that ``normalise`` has scaled already."""
        ...


def write_model(
    card: Card, weights: bytes, uri: str, domain: Domain, golden: bytes | None = None, familiarity: bytes | None = None
) -> None:
    """Write a model into the folder ``uri`` (a path or an fsspec URL), replacing what is there.

    The old item goes first and the new one comes last: killed anywhere, the folder holds a whole model or none.
    ``golden``, ``familiarity``: the golden pair and the reference of its training that the card names, if it names
    them. Raises InputError where ``weights`` or these are not those of the card or the folder cannot be written.
    """
    _check_sum(weights, card.weights_sha256, uri)
    if golden is not None or card.golden_sha256 is not None:
        _check_sum(golden or b"", card.golden_sha256 or "no golden pair", uri)
    if familiarity is not None or card.familiarity_sha256 is not None:
        _check_sum(familiarity or b"", card.familiarity_sha256 or "no reference of the training", uri)
    _write(uri, card.weights, weights, {GOLDEN_NAME: golden, FAMILIARITY_NAME: familiarity}, item_bytes(card, domain))


def copy_model(source: str, target: str) -> None:
    """Copy a model from folder to folder, byte for byte, after checking its sums; replaces what is there."""
    folder = Folder(source)
    item = folder.read(ITEM_NAME)
    card = card_of(item, folder.place(ITEM_NAME))
    more = {GOLDEN_NAME: read_golden(source), FAMILIARITY_NAME: read_familiarity(source)}
    _write(target, card.weights, _weights(folder, card), more, item)


def read_golden(uri: str) -> bytes | None:
    """The golden pair of the model in folder ``uri``, its sum checked; None where the card names none."""
    return _named(uri, GOLDEN_NAME, read_card(uri).golden_sha256)


def read_familiarity(uri: str) -> bytes | None:
    """What the model in folder ``uri`` knows of its training's samples, its sum checked; None where the card names
    none."""
    return _named(uri, FAMILIARITY_NAME, read_card(uri).familiarity_sha256)


def load_reference(uri: str, *, steps: int | None = None) -> Reference | None:
    """What tells the familiar for the model in folder ``uri``; None where the model cannot tell it.

    steps: as for ``load_model``. Raises InputError for a file that is missing, was changed or does not fit the card.
    """
    data = read_familiarity(uri)
    if data is None:
        return None
    card = read_card(uri)
    return reference_of(data, card if steps is None else card.cut(steps), Folder(uri).place(FAMILIARITY_NAME))


def read_card(uri: str) -> Card:
    """The card of the model in folder ``uri``; reads ``model.json`` only. InputError where there is none."""
    folder = Folder(uri)
    return card_of(folder.read(ITEM_NAME), folder.place(ITEM_NAME))


def read_domain(uri: str) -> Domain:
    """Where, when and from what the model in folder ``uri`` was trained; reads ``model.json`` only."""
    folder = Folder(uri)
    return domain_of(folder.read(ITEM_NAME), folder.place(ITEM_NAME))


def model_digest(uri: str) -> str:
    """SHA-256 of ``model.json``, 64 hexadecimal digits; the weights' own SHA-256 is part of what it covers."""
    return hashlib.sha256(Folder(uri).read(ITEM_NAME)).hexdigest()


def load_model(uri: str, device: str = "cpu", *, steps: int | None = None) -> Classifier:
    """The classifier in folder ``uri``, on a torch device (``cpu``, ``cuda``, ``cuda:1``; forests ignore it).

    steps: leading steps of the season that are known, among ``Card.takes``; None: as its card says. Raises InputError
    for a missing file, a wrong item, weights that do not match their checksum or their family, steps it does not take.
    """
    card, weights = read_model(uri)
    return open_model(card if steps is None else card.cut(steps), weights, device)


def read_model(uri: str) -> tuple[Card, bytes]:
    """The card and the weights file of the model in folder ``uri``, checked against each other, not opened."""
    folder = Folder(uri)
    card = card_of(folder.read(ITEM_NAME), folder.place(ITEM_NAME))
    return card, _weights(folder, card)


def open_model(card: Card, weights: bytes, device: str = "cpu") -> Classifier:
    """The classifier of a card and its weights, both already in memory."""
    if card.family == "forest":
        from engine.models.forest import ForestClassifier  # scikit-learn takes a second to import

        return ForestClassifier(card, weights)
    if card.family == "onnx":
        from engine.models.onnx import GraphClassifier  # an extra, not there everywhere

        return GraphClassifier(card, weights)
    if card.family == "svm":
        from engine.models.svm import SupportVectors

        return SupportVectors(card, weights)
    from engine.models.series import open_network  # torch takes two

    return open_network(card, weights, device)


def _weights(folder: Folder, card: Card) -> bytes:
    """The card's weights, refused where they could hold code, their sum checked."""
    place = folder.place(card.weights)
    refuse_name(card.weights, place)
    weights = folder.read(card.weights)
    refuse_code(weights, place)
    _check_sum(weights, card.weights_sha256, place)
    return weights


def _named(uri: str, name: str, sha256: str | None) -> bytes | None:
    """The file of that name in folder ``uri``, of that sum; None where the card names none."""
    if sha256 is None:
        return None
    folder = Folder(uri)
    data = folder.read(name)
    _check_sum(data, sha256, folder.place(name))
    return data


def _write(uri: str, name: str, weights: bytes, more: Mapping[str, bytes | None], item: bytes) -> None:
    folder = Folder(uri)
    for old in (ITEM_NAME, *more):
        folder.remove(old)
    folder.write(name, weights)
    for other, data in more.items():
        if data is not None:
            folder.write(other, data)
    folder.write(ITEM_NAME, item)


def _check_sum(data: bytes, expected: str, place: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise InputError(
            f"bytes with SHA-256 {found}",
            expected=expected,
            place=place,
            remedy="the file was changed or cut short: copy the whole model folder again, or train anew",
        )


class Folder:
    """A folder reached through fsspec, its errors in our words."""

    def __init__(self, uri: str) -> None:
        self._uri = str(uri).rstrip("/")
        try:
            self._fs, self._root = filesystem(self._uri)
        except (ValueError, ImportError) as error:
            expected = "a path or an fsspec URL such as s3://bucket/model"
            raise InputError(f"{uri!r} ({error})", expected=expected, place="model.uri") from error
        self._local = isinstance(self._fs, LocalFileSystem)

    def place(self, name: str) -> str:
        return f"{self._uri}/{name}"

    def read(self, name: str) -> bytes:
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))
        except Exception as error:
            raise self._told(error, name) from error

    def find(self, name: str) -> bytes | None:
        """The file's bytes, or None where there is none."""
        try:
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._told(error, name) from error

    def write(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        try:
            if self._local:
                # S3 shows an object whole or not at all; a local file must be renamed into place for that.
                os.makedirs(self._root, exist_ok=True)
                self._fs.pipe_file(f"{path}.part", data)
                os.replace(f"{path}.part", path)
            else:
                self._fs.pipe_file(path, data)
        except Exception as error:
            raise self._told(error, name) from error

    def remove(self, name: str) -> None:
        """Remove the file, and what a write of it cut short by a kill left on a disk."""
        for found in (name, f"{name}.part") if self._local else (name,):
            try:
                self._fs.rm_file(f"{self._root}/{found}")
            except (FileNotFoundError, NotADirectoryError):
                pass  # nothing to replace; a folder that cannot be is refused by the first write
            except Exception as error:
                raise self._told(error, found) from error

    def _told(self, error: Exception, name: str) -> TilthError:
        """What fsspec and the libraries behind it raise, each in its own way, as one of our errors."""
        if isinstance(error, FileNotFoundError):
            remedy = "correct the model's folder; a job with `labels` trains one into its model.uri"
            return InputError(f"no such file or bucket ({error})", place=self.place(name), remedy=remedy)
        if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileExistsError):
            return InputError(f"out of reach ({error})", place=self.place(name), remedy="correct model.uri")
        if type(error).__name__ in _CREDENTIAL_ERRORS:
            remedy = "set the store's credentials in the environment, such as AWS_ACCESS_KEY_ID"
            return InputError(str(error), place=self.place(name), remedy=remedy)
        return InfrastructureError(f"{type(error).__name__}: {error}", place=self.place(name))
