"""What ``warm_up`` compiles is all that the cube and feature kernels need."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import kernels

SCRIPT = """
import tests.kernels.test_warm as warm
from kernels.warm import warm_up
warm_up()
done = warm.compiled()
assert all(count for name, count in done.items() if name.startswith("kernels.pixels")), done
print(sum(done.values()))
"""


def compiled() -> dict[str, int]:
    """Every compiled function of every kernel module -> how many versions of it there are."""
    found = {}
    for info in pkgutil.iter_modules(kernels.__path__, "kernels."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if hasattr(value, "signatures") and value.py_func.__module__ == info.name:
                found[f"{info.name}.{name}"] = len(value.signatures)
    return found


def test_warming_up_compiles_and_a_second_time_compiles_nothing(repo_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=repo_root, capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) > 20
    kernels_warm = importlib.import_module("kernels.warm")
    kernels_warm.warm_up()
    before = compiled()
    kernels_warm.warm_up()
    assert compiled() == before
