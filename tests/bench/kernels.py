"""Every kernel beside its peers and a memory copy, on one core, then on two: ``python -m tests.bench.kernels``.

Peers that are not installed are named as absent: ``pip install -e '.[bench]'`` brings those that can be had. Ours, peer
and copy are measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kernels import indices, polarimetry, smooth, speckle
from tests.bench import kernels_optical, kernels_radar
from tests.bench.kernel_rows import show
from tests.bench.measure import closing, context

Make = Callable[[], Callable[[], object]]


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="turns of each, of which the best counts")
    chosen = parser.parse_args()
    context("Kernels, one core")
    radar = kernels_radar.rows(1448, chosen.runs)
    show([*radar, *kernels_optical.rows(kernels_optical.Sizes(runs=chosen.runs))])
    print("two threads over one, each with its own image (2.00 would be perfect):")
    for name, make in _SCALED.items():
        print(f"  {name:<30}{two_over_one(make, chosen.runs):6.2f}")
    closing()


def two_over_one(make: Make, runs: int) -> float:
    """How many times as much two threads do as one."""
    calls = make(), make()
    best = {1: np.inf, 2: np.inf}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(runs + 1):
            for threads in best:
                start = time.perf_counter()
                list(pool.map(lambda call: call(), calls[:threads]))
                best[threads] = min(best[threads], time.perf_counter() - start)
    return 2 * best[1] / best[2]


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0.02, 0.6, (1448, 1448)).astype(np.float32) for _ in range(count)]


def _refined_lee() -> Callable[[], object]:
    image, out = _images(2)
    return lambda: speckle.refined_lee(image, out)


def _m_chi() -> Callable[[], object]:
    c11, c22, real, imag, ps, pd, pv = _images(7)
    return lambda: polarimetry.m_chi(c11, c22, real, imag, out=(ps, pd, pv))


def _evi() -> Callable[[], object]:
    nir, red, blue, out = _images(4)
    return lambda: indices.evi(nir, red, blue, out=out)


def _whittaker() -> Callable[[], object]:
    rng = np.random.default_rng(0)
    series = rng.uniform(0, 1, (36, 65536)).astype(np.float32)
    series[rng.random(series.shape) < 0.4] = np.nan
    return lambda: smooth.whittaker(series, 100.0)


_SCALED: dict[str, Make] = {"refined Lee": _refined_lee, "m-chi": _m_chi, "EVI": _evi, "Whittaker": _whittaker}

if __name__ == "__main__":
    main()
