"""The launcher file deploy/aws/cluster.yaml, read by Ray's launcher, Ray's autoscaler and botocore's EC2 model."""

import copy
import re
import shlex
from collections.abc import Iterator
from typing import Any

import botocore.session
import jsonschema
import pytest
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator

from tests.deploy.autoscaling import nodes_launched
from tests.deploy.files import LAUNCHER, WORKER_ENVIRONMENT, documents

CONFIG = documents(LAUNCHER)[0]
NODE_TYPES: dict[str, dict[str, Any]] = CONFIG["available_node_types"]


@pytest.fixture(scope="module")
def run_instances() -> StructureShape:
    """The input of EC2's RunInstances, as botocore knows it."""
    model = botocore.session.get_session().get_service_model("ec2")
    return model.operation_model("RunInstances").input_shape


def wrong_choices(shape: Shape, value: Any, place: str = "node_config") -> Iterator[str]:
    """Values outside an enumeration: botocore's validation leaves those to the server."""
    if isinstance(shape, StructureShape):
        for key, inner in value.items():
            yield from wrong_choices(shape.members[key], inner, f"{place}.{key}")
    elif isinstance(shape, ListShape):
        for index, inner in enumerate(value):
            yield from wrong_choices(shape.member, inner, f"{place}[{index}]")
    elif (choices := getattr(shape, "enum", None)) and value not in choices:
        yield f"{place}: {value!r} is none of EC2's values"


def validated(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as `ray up` prepares and checks it before it talks to AWS."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def start_command(key: str) -> str:
    """The one command of a start list that starts Ray."""
    found: list[str] = [command for command in CONFIG[key] if "ray start" in command]
    assert len(found) == 1
    return found[0]


def test_ray_up_accepts_the_file_and_the_head_runs_no_tile() -> None:
    prepared = validated(CONFIG)
    assert prepared["available_node_types"][prepared["head_node_type"]]["resources"] == {"CPU": 0}


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [
        ((), "max_worker", 3),
        (("available_node_types", "cpu"), "spot", True),
        (("available_node_types", "cpu"), "max_workers", "3"),
        (("auth",), "user", "ubuntu"),
    ],
)
def test_ray_up_refuses_unknown_keys_and_wrong_types(place: tuple[str, ...], key: str, value: Any) -> None:
    wrong = copy.deepcopy(CONFIG)
    target = wrong
    for step in place:
        target = target[step]
    target[key] = value
    with pytest.raises(jsonschema.ValidationError):
        validated(wrong)


@pytest.mark.parametrize("name", list(NODE_TYPES))
def test_every_node_is_one_that_ec2_run_instances_takes(name: str, run_instances: StructureShape) -> None:
    request = {"MinCount": 1, "MaxCount": 1, **NODE_TYPES[name]["node_config"]}
    report = ParamValidator().validate(request, run_instances)
    assert not report.has_errors(), report.generate_report()
    assert list(wrong_choices(run_instances, request)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"InstanceMarketOption": {"MarketType": "spot"}},
        {"InstanceMarketOptions": {"MarketType": "spot", "MaxPrice": "1"}},
        {"SecurityGroupIds": "sg-1"},
        {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": "100"}}]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_node_config_is_refused(wrong: dict[str, Any], run_instances: StructureShape) -> None:
    request = {"MinCount": 1, "MaxCount": 1, **wrong}
    assert ParamValidator().validate(request, run_instances).has_errors()


def test_a_value_outside_an_enumeration_is_found(run_instances: StructureShape) -> None:
    request = {"InstanceType": "g6.enormous", "InstanceMarketOptions": {"MarketType": "spots"}}
    assert len(list(wrong_choices(run_instances, request))) == 2


def test_the_head_is_never_a_spot_node_and_the_gpu_types_are_one_machine() -> None:
    assert "InstanceMarketOptions" not in NODE_TYPES["head"]["node_config"]
    spot, on_demand = NODE_TYPES["gpu-spot"], NODE_TYPES["gpu-on-demand"]
    without_market = {key: value for key, value in spot["node_config"].items() if key != "InstanceMarketOptions"}
    assert without_market == on_demand["node_config"]
    assert spot["resources"] == on_demand["resources"], "Ray weighs resources before priority"


def test_only_the_head_may_start_nodes() -> None:
    profiles = {name: found["node_config"]["IamInstanceProfile"]["Name"] for name, found in NODE_TYPES.items()}
    assert profiles.pop("head") == "tilth-head"
    assert set(profiles.values()) == {"tilth-worker"}


def test_ray_starts_spot_gpus_first_and_on_demand_ones_above_their_bound() -> None:
    assert nodes_launched(CONFIG, 3, {"GPU": 1}) == {"gpu-spot": 3}
    assert nodes_launched(CONFIG, 10, {"GPU": 1}) == {"gpu-spot": 8, "gpu-on-demand": 2}
    assert nodes_launched(CONFIG, 4, {"CPU": 4}) == {"cpu": 2}


def test_with_spot_closed_the_same_work_goes_to_on_demand() -> None:
    closed = copy.deepcopy(CONFIG)
    closed["available_node_types"]["gpu-spot"]["max_workers"] = 0
    assert nodes_launched(closed, 3, {"GPU": 1}) == {"gpu-on-demand": 3}


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_every_node_starts_ray_with_the_environment_it_needs_and_flags_that_ray_knows(key: str) -> None:
    from ray.scripts.scripts import start

    command = start_command(key)
    exported = dict(re.findall(r"(\w+)=(\w+)", command.split("export ", 1)[1].split(";", 1)[0]))
    assert exported == WORKER_ENVIRONMENT | {"RAY_AUTH_MODE": "token"}
    start.make_context("start", shlex.split(command.split("ray start", 1)[1]))


def test_nodes_hold_the_token_and_install_the_wheel_under_the_constraints() -> None:
    assert any(path.endswith("/.ray/auth_token") for path in CONFIG["file_mounts"])
    install = next(command for command in CONFIG["setup_commands"] if "pip install" in command and ".whl" in command)
    assert "-c ~/tilth/dist/constraints.txt" in install
