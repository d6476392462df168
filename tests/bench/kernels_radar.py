"""The radar kernels beside their peers and a memory copy: ``python -m tests.bench.kernels_radar [--side 1024]``.

One core, best of several runs, compile time apart. A row's peer runs on a smaller piece where it is slow: per pixel it
costs the same. "Of copy" is the speed beside a copy that reads and writes as many bytes as the kernel must.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from kernels import multitemporal, polarimetry, slc, speckle
from tests.bench import radar_peers as peers
from tests.bench.kernel_rows import Row, show


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1024, help="pixels along each side of the image (default 1024)")
    parser.add_argument("--runs", type=int, default=5, help="runs, of which the best counts (default 5)")
    chosen = parser.parse_args()
    show(list(rows(chosen.side, chosen.runs)))


def row(name: str, ours: float, peer: str, theirs: float | None, of_copy: float) -> Row:
    """A row with its ratio."""
    return Row(name, ours, peer, theirs, ours / theirs if theirs else None, of_copy)


def rows(side: int = 1024, runs: int = 5) -> Iterator[Row]:
    """All rows of the radar kernels, made one by one."""
    rng = np.random.default_rng(1)
    vv, vh = (rng.normal(size=(side, 2 * side)).astype(np.float32).view(np.complex64) for _ in range(2))
    c2 = slc.c2_boxcar(vv, vh, 3)
    yield from speckle_rows(c2, runs)
    yield from stack_rows(c2[0], runs)
    yield from polarimetry_rows(c2, runs)
    yield from slc_rows(vv, vh, runs)


def speckle_rows(c2: tuple[np.ndarray, ...], runs: int) -> Iterator[Row]:
    image, out = c2[0], tuple(np.empty_like(part) for part in c2)
    piece = image[:200, :200]
    snap = rate(image.size, lambda: speckle.refined_lee(image, out[0]), runs)
    theirs = rate(piece.size, lambda: peers.refined_lee(piece), 1)
    yield row("refined Lee, one band, snap", snap, "NumPy, whole arrays", theirs, snap / copy(image.size, 8, runs))
    ours = rate(image.size, lambda: speckle.refined_lee(image, out[0], flavour="polsarpro", looks=4), runs)
    lee = rate(image.size, lambda: peers.lee(image, 4), runs)
    yield row("refined Lee, one band, polsarpro", ours, "SciPy, plain Lee", lee, ours / copy(image.size, 8, runs))
    small = tuple(np.ascontiguousarray(part[:96, :96]) for part in c2)
    theirs_c2 = None
    if peers.process_chunk_rfleecpp is not None:
        theirs_c2 = rate(small[0].size, lambda: peers.polsartools_refined_lee(*small), 1)
    limit = copy(image.size, 32, runs)
    for name, options in (("snap", {}), ("polsarpro", {"flavour": "polsarpro", "looks": 4.0})):
        ours = rate(image.size, lambda o=options: speckle.refined_lee_c2(*c2, out=out, **o), runs)
        yield row(f"refined Lee, C2, {name}", ours, "polsartools", theirs_c2, ours / limit)


def stack_rows(image: np.ndarray, runs: int) -> Iterator[Row]:
    """A pixel is one pixel of one date."""
    stack = np.stack([image[:512, :512]] * 6)
    out = np.empty_like(stack)
    theirs = rate(stack.size, lambda: peers.quegan_yu(stack), runs)
    limit = copy(stack.size, 8, runs)
    for local in ("mean", "refined_lee"):
        ours = rate(stack.size, lambda how=local: multitemporal.quegan_yu(stack, out, local=how), runs)
        peer = ("SciPy", theirs) if local == "mean" else ("none", None)
        yield row(f"Quegan-Yu, 6 dates, {local}", ours, *peer, ours / limit)


def polarimetry_rows(c2: tuple[np.ndarray, ...], runs: int) -> Iterator[Row]:
    size, out = c2[0].size, tuple(np.empty_like(part) for part in c2[:3])
    ours = rate(size, lambda: polarimetry.m_chi(*c2, out=out), runs)
    share = ours / copy(size, 28, runs)
    yield row("m-chi from C2", ours, "NumPy", rate(size, lambda: peers.m_chi(*c2), runs), share)
    theirs = rate(size, lambda: peers.polsartools_m_chi(*c2), 2) if peers.process_chunk_mchi is not None else None
    yield row("m-chi from C2", ours, "polsartools", theirs, share)
    ours = rate(size, lambda: polarimetry.cross_ratio(c2[0], c2[1], out[0]), runs)
    theirs = rate(size, lambda: c2[1] / c2[0], runs)
    yield row("cross-ratio", ours, "NumPy", theirs, ours / copy(size, 12, runs))
    ours = rate(size, lambda: polarimetry.cross_ratio_db(c2[0], c2[1], out[0]), runs)
    theirs = rate(size, lambda: 10 * np.log10(c2[1]) - 10 * np.log10(c2[0]), runs)
    yield row("cross-ratio, dB", ours, "NumPy", theirs, ours / copy(size, 12, runs))


def slc_rows(vv: np.ndarray, vh: np.ndarray, runs: int) -> Iterator[Row]:
    """A pixel is one of the SLC."""
    out = tuple(np.empty(vv.shape, np.float32) for _ in range(4))
    ours = rate(vv.size, lambda: slc.m_chi_from_slc(vv, vh, 5, out=out[:3]), runs)
    theirs = rate(vv.size, lambda: peers.m_chi(*peers.c2_boxcar(vv, vh, 5)), 2)
    yield row("m-chi from SLC, 5x5", ours, "NumPy, SciPy", theirs, ours / copy(vv.size, 28, runs))
    ours = rate(vv.size, lambda: slc.c2_boxcar(vv, vh, 5, out=out), runs)
    theirs = rate(vv.size, lambda: peers.c2_boxcar(vv, vh, 5), 2)
    yield row("C2 from SLC, sliding 5x5", ours, "NumPy, SciPy", theirs, ours / copy(vv.size, 32, runs))
    ours = rate(vv.size, lambda: slc.c2_multilook(vv, vh, (4, 4)), runs)
    theirs = rate(vv.size, lambda: peers.c2_multilook(vv, vh, 4), runs)
    yield row("C2 from SLC, blocks of 4x4", ours, "NumPy", theirs, ours / copy(vv.size, 17, runs))


def copy(pixels: int, bytes_per_pixel: int, runs: int) -> float:
    """Megapixels a second of a copy that reads and writes so many bytes a pixel in all."""
    source = np.ones(pixels * bytes_per_pixel // 2, np.uint8)
    target = np.empty_like(source)
    return rate(pixels, lambda: np.copyto(target, source), runs)


def rate(pixels: int, call: Callable[[], object], runs: int) -> float:
    """Megapixels a second, the best of several runs after one that compiles and warms."""
    call()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return pixels / min(seconds) / 1e6


if __name__ == "__main__":
    main()
