"""Ray clusters on this machine lose a node, scale from nothing and back, take jobs, and listen on loopback only."""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
import sys
from typing import Any

import psutil
import ray
from ray.job_submission import JobSubmissionClient

from tests.servers.process import wait_until
from tests.servers.rays import autoscaling, nodes

ENDS = ("SUCCEEDED", "FAILED", "STOPPED")


def submitted(dashboard: str) -> str:
    """How a job that connects to its cluster ends."""
    client = JobSubmissionClient(dashboard)
    job = client.submit_job(entrypoint="python -c 'import ray; ray.init(log_to_driver=False)'")
    wait_until(lambda: client.get_job_status(job) in ENDS, 60, f"job {job}", 0.25)
    return str(client.get_job_status(job).value)


def test_a_lost_ray_node_takes_its_actor_along_and_another_node_takes_over() -> None:
    with nodes(2, 1, dashboard=True) as cluster:
        ray.init(address=cluster.address, log_to_driver=False)

        @ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)
        class Home:
            def node(self) -> str:
                return str(ray.get_runtime_context().get_node_id())

        home: Any = Home.remote()  # type: ignore[attr-defined] # the decorator adds it
        first = ray.get(home.node.remote(), timeout=60)
        lost = next(worker for worker in cluster.workers if worker.node_id == first)
        cluster.lose(lost)
        second = ray.get(home.node.remote(), timeout=60)
        assert second != first
        assert cluster.alive() == 2
        assert submitted(cluster.dashboard) == "SUCCEEDED"
        assert everyone_listens_on_loopback()


def everyone_listens_on_loopback() -> bool:
    """True if no process below this one listens on an address other than loopback."""
    sockets = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets += process.net_connections("tcp")
    listening = [ipaddress.ip_address(s.laddr.ip) for s in sockets if s.status == psutil.CONN_LISTEN]
    return len(listening) > 0 and all((getattr(ip, "ipv4_mapped", None) or ip).is_loopback for ip in listening)


def test_the_autoscaler_goes_from_no_gpu_node_to_two_and_back_to_none() -> None:
    script = (
        "import ray, sys, time\n"
        "ray.init(address=sys.argv[1], log_to_driver=False)\n"
        "work = ray.remote(num_gpus=1, num_cpus=0)(lambda i: (time.sleep(2), i)[1])\n"
        "print(sorted(ray.get([work.remote(i) for i in range(4)])))\n"
    )
    with autoscaling(idle_s=3) as cluster:
        assert cluster.gpu_nodes() == 0
        job = subprocess.Popen([sys.executable, "-c", script, cluster.address], stdout=subprocess.PIPE)
        cluster.wait_for_gpu_nodes(2)
        assert job.communicate(timeout=60)[0].decode().strip() == "[0, 1, 2, 3]"
        assert everyone_listens_on_loopback()
        cluster.wait_for_gpu_nodes(0)
