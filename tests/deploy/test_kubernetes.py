"""The manifests of deploy/kuberay/, read by the schemas and programs that will read them on a cluster."""

import copy
import importlib.util
import pathlib
import shlex
from typing import Any

import click
import dask
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.autoscaling import nodes_launched
from tests.deploy.files import DEPLOY, MANIFESTS, documents, objects, pins
from tests.deploy.kuberay_fields import SCHEMAS

KUBERNETES = "1.32"
"""Any release that is served today would do: the fields used are older than all of them."""
RAY_OBJECTS = [*objects("RayCluster"), *objects("RayJob")]
DASK_OBJECTS = [*objects("DaskCluster"), *objects("DaskAutoscaler")]


def cluster_spec(found: dict[str, Any]) -> dict[str, Any]:
    """The RayClusterSpec of a RayCluster or RayJob."""
    spec: dict[str, Any] = found["spec"]
    return spec["rayClusterSpec"] if found["kind"] == "RayJob" else spec


def ray_groups(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Head group first, then the worker groups."""
    spec = cluster_spec(found)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def pod_templates() -> list[tuple[str, dict[str, Any]]]:
    """Every pod template in the manifests, with a name for messages."""
    found = [
        (f"{made['kind']}/{group.get('groupName', 'head')}", group["template"])
        for made in RAY_OBJECTS
        for group in ray_groups(made)
    ]
    for cluster in objects("DaskCluster"):
        found += [(f"DaskCluster/{part}", {"spec": cluster["spec"][part]["spec"]}) for part in ("scheduler", "worker")]
    return found


def close(schema: Any) -> Any:
    """A CRD's openAPI schema with unknown keys refused wherever it lists properties.

    The object's own `metadata`, `apiVersion` and `kind` are the API server's to check and stay open.
    """
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed


def dask_schema(kind: str) -> dict[str, Any]:
    """The CRD of the Dask operator as its own package dask-kubernetes carries it, closed."""
    package = importlib.util.find_spec("dask_kubernetes")
    if package is None or package.origin is None:
        pytest.skip("dask-kubernetes, whose wheel carries the operator's CRDs, is not installed")
    crds = pathlib.Path(package.origin).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
    crd = yaml.load((crds / f"{kind.lower()}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    served = {version["name"]: version for version in crd["spec"]["versions"]}
    schema = close(served["v1"]["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {"const": f"{crd['spec']['group']}/v1"}, "kind": {"const": kind}}
    schema["properties"]["metadata"] = {"type": "object", "required": ["name", "namespace"]}
    return dict(schema)


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_yaml_file_parses_and_gives_no_key_twice(path: pathlib.Path) -> None:
    assert documents(path)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_object_is_of_a_kind_that_a_test_here_checks_and_lives_in_one_namespace(path: pathlib.Path) -> None:
    for found in documents(path):
        assert found["kind"] in {*SCHEMAS, "DaskCluster", "DaskAutoscaler", "NetworkPolicy", "ServiceAccount"}
        assert found["metadata"]["namespace"] == "tilth"


@pytest.mark.parametrize("found", RAY_OBJECTS, ids=lambda found: found["kind"])
def test_ray_objects_use_only_fields_of_the_kuberay_reference(found: dict[str, Any]) -> None:
    jsonschema.validate(found, SCHEMAS[found["kind"]])


@pytest.mark.parametrize("found", RAY_OBJECTS, ids=lambda found: found["kind"])
def test_a_misspelt_kuberay_field_is_refused(found: dict[str, Any]) -> None:
    wrong = copy.deepcopy(found)
    cluster_spec(wrong)["workerGroupSpecs"][0]["maxReplica"] = 3
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(wrong, SCHEMAS[found["kind"]])


@pytest.mark.parametrize("found", DASK_OBJECTS, ids=lambda found: found["kind"])
def test_dask_objects_hold_against_the_operators_own_crds(found: dict[str, Any]) -> None:
    jsonschema.validate(found, dask_schema(found["kind"]))


def test_a_misspelt_dask_field_is_refused_however_deep() -> None:
    wrong = copy.deepcopy(objects("DaskCluster")[0])
    wrong["spec"]["worker"]["spec"]["containers"][0]["comand"] = ["dask"]
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.validate(wrong, dask_schema("DaskCluster"))


@pytest.mark.parametrize("template", [pod for _, pod in pod_templates()], ids=[name for name, _ in pod_templates()])
def test_every_pod_template_is_a_valid_pod(template: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
    for container in template["spec"]["containers"]:
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes


@pytest.mark.parametrize("kind", ["ServiceAccount", "NetworkPolicy"])
def test_plain_kubernetes_objects_hold_against_their_schemas(kind: str) -> None:
    found = objects(kind)
    assert found
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


@pytest.mark.parametrize("template", [pod for _, pod in pod_templates()], ids=[name for name, _ in pod_templates()])
def test_pods_run_as_a_plain_user_with_a_known_account_bounded_and_without_keys(template: dict[str, Any]) -> None:
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["serviceAccountName"] in {found["metadata"]["name"] for found in objects("ServiceAccount")}
    for container in spec["containers"]:
        assert container["resources"]["limits"] == container["resources"]["requests"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert all("AWS_SECRET" not in entry["name"] for entry in container.get("env", []))


def test_the_job_runs_on_the_same_cluster_as_the_cluster_file_describes() -> None:
    assert cluster_spec(objects("RayJob")[0]) == cluster_spec(objects("RayCluster")[0])


def test_the_ray_version_is_the_pinned_one() -> None:
    assert cluster_spec(objects("RayCluster")[0])["rayVersion"] == pins()["ray"]


def test_ray_start_knows_every_start_parameter() -> None:
    from ray.scripts.scripts import start

    for group in ray_groups(objects("RayCluster")[0]):
        start.make_context("start", [f"--{key}={value}" for key, value in group["rayStartParams"].items()])


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_dask_knows_every_flag_of_its_containers(part: str) -> None:
    from distributed.cli import dask_scheduler, dask_worker

    container = objects("DaskCluster")[0]["spec"][part]["spec"]["containers"][0]
    assert container["command"] == ["dask", part]
    program: click.Command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[part]
    context = program.make_context(part, list(container.get("args", [])))
    assert not context.params.get("scheduler"), "the address comes from the operator"


def test_the_dask_pods_run_under_the_settings_of_the_executor() -> None:
    executor = pytest.importorskip("engine.executors.dask")
    cluster = objects("DaskCluster")[0]["spec"]
    settings: dict[str, Any] = {}
    for part in ("scheduler", "worker"):
        env = {entry["name"]: entry["value"] for entry in cluster[part]["spec"]["containers"][0]["env"]}
        settings = dask.config.merge(settings, dask.config.collect_env(env))
    for key, value in executor._SETTINGS.items():
        assert dask.config.get(key, config=settings) == value


def test_the_job_submits_to_its_own_cluster_and_to_the_dask_scheduler_of_the_dask_file() -> None:
    job, dask = objects("RayJob")[0], objects("DaskCluster")[0]
    words = shlex.split(job["spec"]["entrypoint"])
    port = dask["spec"]["scheduler"]["service"]["ports"][0]["port"]
    assert words[:2] == ["tilth", "submit"]
    assert words[words.index("--address") + 1] == "auto"
    assert f"compute.dask_address=tcp://{dask['metadata']['name']}-scheduler:{port}" in words
    assert "--wait" in words, "without it the entrypoint returns and the cluster is deleted under the run"
    assert job["spec"]["shutdownAfterJobFinishes"]
    mounts = ray_groups(job)[0]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert pathlib.PurePosixPath(words[2]).parent in {pathlib.PurePosixPath(mount["mountPath"]) for mount in mounts}


def test_the_dask_service_and_network_policy_select_the_pods_of_the_cluster() -> None:
    cluster = objects("DaskCluster")[0]["metadata"]["name"]
    assert objects("DaskAutoscaler")[0]["spec"]["cluster"] == cluster
    assert objects("DaskCluster")[0]["spec"]["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == cluster
    assert objects("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"] == {"dask.org/cluster-name": cluster}


def ray_autoscaling() -> dict[str, Any]:
    """What Ray's autoscaler makes of the RayCluster, by its own reader."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    return dict(_derive_autoscaling_config_from_ray_cr(objects("RayCluster")[0]))


def test_ray_starts_spot_gpus_first_then_on_demand_ones_and_no_more_than_the_bounds() -> None:
    config = ray_autoscaling()
    assert nodes_launched(config, 3, {"GPU": 1}) == {"gpu-spot": 3}
    assert nodes_launched(config, 10, {"GPU": 1}) == {"gpu-spot": 8, "gpu-on-demand": 2}
    assert nodes_launched(config, 100, {"GPU": 1}) == {"gpu-spot": 8, "gpu-on-demand": 8}


def test_ray_falls_back_to_on_demand_gpus_when_spot_did_not_come() -> None:
    assert nodes_launched(ray_autoscaling(), 3, {"GPU": 1}, unavailable="gpu-spot") == {"gpu-on-demand": 3}


def test_ray_starts_no_gpu_for_cpu_work_and_nothing_without_work() -> None:
    assert nodes_launched(ray_autoscaling(), 4, {"CPU": 4}) == {"cpu": 2}
    assert nodes_launched(ray_autoscaling(), 0, {"CPU": 4}) == {}
