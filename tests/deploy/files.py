"""Where the files of deploy/ are, and how to read them."""

import pathlib
import re
from typing import Any

import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kuberay").glob("*.yaml"))
LAUNCHER = DEPLOY / "aws" / "cluster.yaml"
WORKER_ENVIRONMENT = {
    "RAY_worker_niceness": "0",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
    "NUMBA_NUM_THREADS": "1",
}
"""What every Ray node needs in its environment, whoever starts it."""


class StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which PyYAML lets pass and Kubernetes does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(None, None, f"key given twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def documents(path: pathlib.Path) -> list[dict[str, Any]]:
    """Every YAML document of a file, in order."""
    with path.open(encoding="utf-8") as stream:
        return list(yaml.load_all(stream, Loader=StrictLoader))


def objects(kind: str) -> list[dict[str, Any]]:
    """Every Kubernetes object of one kind in deploy/kuberay/."""
    return [found for path in MANIFESTS for found in documents(path) if found["kind"] == kind]


def pins() -> dict[str, str]:
    """deploy/constraints.txt as name -> version, names in lower case with hyphens."""
    lines = (DEPLOY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name.strip().lower()): version.strip() for name, version in pairs}
