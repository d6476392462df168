"""Ray's autoscaler brings up GPU nodes for the map stage, and takes them down when it is done."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chaos.runs import TILES, Place, cluster_environment, tilth
from tests.servers.rays import autoscaling


def test_the_map_takes_a_cluster_from_no_gpu_node_to_two_and_back_to_none(
    copied: Place, undisturbed: Place, tmp_path: Path
) -> None:
    with autoscaling(max_workers=2, idle_s=3) as cluster:
        assert cluster.gpu_nodes() == 0
        words = ["submit", str(copied.job)]
        for change in (f"address={cluster.address}", "gpus_per_worker=1", "workers.max=2"):
            words += ["--set", f"compute.{change}"]
        with tilth(tmp_path / "log", *words, env=cluster_environment()) as driver:
            cluster.wait_for_gpu_nodes(2)
            assert driver.ended() == 0, driver.told()
            assert "on the CPU" in driver.told(), "the nodes' GPUs are pretended, and somebody must say so"
        cluster.wait_for_gpu_nodes(0)
    mine, theirs = ({t: r.body["files"] for t, r in place.records("map").items()} for place in (copied, undisturbed))
    assert mine == theirs
    assert json.loads((tmp_path / "map" / "report.json").read_text())["devices"] == {"cpu": TILES}
