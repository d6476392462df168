"""Weights that could hold code are refused, by their name and by what is in them, before anything opens them.

A pickle runs what it likes as it is opened; TorchScript and ``.pt2`` archives hold pickles and programs. Nothing is
unpickled to find out: the first bytes, the names in an archive and pickle's own op codes tell.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import PurePosixPath

from engine.errors import InputError

PICKLE = "a pickle, which runs whatever code it holds when it is opened"
TORCHSCRIPT = "TorchScript, which holds a program and pickles, and which PyTorch no longer develops"
PT2 = "a torch.export archive (.pt2), which holds pickles and a format that changes between versions of PyTorch"
COMPRESSED = "a compressed file such as joblib writes, with a pickle inside"

_NAMES = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".p", ".joblib"), PICKLE),
    **dict.fromkeys((".ts", ".torchscript", ".ptc", ".jit"), TORCHSCRIPT),
    **dict.fromkeys((".pt2", ".ep"), PT2),
}
_COMPRESSED = (
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x04\x22M\x18",
)
"""How files of zlib (four levels), gzip, bzip2, xz and LZ4 begin."""

_REMEDY = (
    "where you trust the file, write its weights with safetensors.torch.save_file(model.state_dict(), "
    "'model.safetensors') for a family Tilth knows, or the whole network with torch.onnx.export(..., dynamo=True), "
    "a scikit-learn model with skl2onnx; then: tilth model add FILE MODEL --card CARD"
)


def refuse_name(name: str, place: str) -> None:
    """InputError where a file of this name holds a pickle, TorchScript or ``.pt2``."""
    reason = _NAMES.get(PurePosixPath(name).suffix.lower())
    if reason:
        raise _refused(f"{PurePosixPath(name).name} is named like {reason}", place)


def refuse_code(data: bytes, place: str) -> None:
    """InputError where these bytes are a pickle, TorchScript or ``.pt2``, whatever the file is called."""
    reason = _in_archive(data) if data.startswith(b"PK\x03\x04") else _in_bytes(data)
    if reason:
        raise _refused(f"the weights are {reason}", place)


def _refused(value: str, place: str) -> InputError:
    return InputError(f"{value}; not opened", expected="safetensors, skops or ONNX", place=place, remedy=_REMEDY)


def _in_archive(data: bytes) -> str | None:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except zipfile.BadZipFile:
        return None  # cut short: its family's reader says so
    last = {PurePosixPath(name).name for name in names}
    if "archive_format" in last or "serialized_exported_program.json" in last:
        return PT2
    if "constants.pkl" in last:
        return TORCHSCRIPT
    return PICKLE if any(name.endswith((".pkl", ".pickle", ".pt")) for name in last) else None


def _in_bytes(data: bytes) -> str | None:
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if data.startswith(_COMPRESSED):
        return COMPRESSED
    return PICKLE if data.endswith(b".") and _is_old_pickle(data) else None


def _is_old_pickle(data: bytes) -> bool:
    """Whether the bytes are op codes of protocols 0 and 1 from the first to the last; nothing is run."""
    try:
        return [at for code, _, at in pickletools.genops(data) if code.name == "STOP"] == [len(data) - 1]
    except (ValueError, IndexError):
        return False
