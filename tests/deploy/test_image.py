"""The Dockerfile, read by dockerfile-parse: there is no Docker engine to build it with in the tests."""

import fnmatch
import pathlib
import re
import tomllib
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, MANIFESTS, ROOT, WORKER_ENVIRONMENT, pins

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IGNORED = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
SECRET = re.compile(
    r"(AKIA[0-9A-Z]{16}|-----BEGIN|(?i:(secret|password|token|access_key)\w*\s*[=:]\s*[\"']?[A-Za-z0-9/+]{16,}))"
)


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instruction and value of every step, comments left out."""
    dockerfile_parse = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse reads the Dockerfile")
    structure = dockerfile_parse.DockerfileParser(path=str(DEPLOY / "Dockerfile")).structure
    return [(step["instruction"], step["value"]) for step in structure if step["instruction"] != "COMMENT"]


@pytest.fixture(scope="module")
def stages(steps: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """Stage name -> its steps, the FROM first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for instruction, value in steps:
        if instruction == "FROM":
            name = re.split(r"\s+AS\s+", value, flags=re.IGNORECASE)[1]
            found[name] = []
        if found:
            found[name].append((instruction, value))
    return found


def sent_to_the_builder(path: str) -> bool:
    """Whether Dockerfile.dockerignore lets a path of the repository through (last matching line wins)."""
    kept = True
    for line in (line.strip() for line in IGNORED):
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            if path == pattern or path.startswith(f"{pattern}/") or fnmatch.fnmatch(path, pattern):
                kept = line.startswith("!")
    return kept


def copied_from_the_repository(steps: list[tuple[str, str]]) -> list[str]:
    """Sources of every COPY that reads the build context."""
    copies = [value.split() for instruction, value in steps if instruction == "COPY"]
    return [source for words in copies if not words[0].startswith("--from=") for source in words[:-1]]


def test_both_targets_exist_and_every_stage_builds_on_one_that_is_known(
    stages: dict[str, list[tuple[str, str]]],
) -> None:
    assert {"cpu", "gpu"} <= set(stages)
    earlier: set[str] = {"${PYTHON_IMAGE}"}
    for name, contents in stages.items():
        assert contents[0][1].split()[0] in earlier
        taken = [value.split()[0] for instruction, value in contents if instruction == "COPY" and "--from=" in value]
        assert {source.removeprefix("--from=") for source in taken} <= earlier
        earlier.add(name)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_images_run_tilth_as_a_plain_user(target: str, stages: dict[str, list[tuple[str, str]]]) -> None:
    last = dict(stages[target])
    assert last["ENTRYPOINT"] == '["tilth"]'
    assert last["USER"] == "1000", "a number, so that Kubernetes can tell it is not root"
    assert list(PROJECT["scripts"]) == ["tilth"]


def test_python_is_one_that_the_project_takes_and_the_same_on_every_node(steps: list[tuple[str, str]]) -> None:
    arguments = dict(value.split("=", 1) for instruction, value in steps if instruction == "ARG")
    assert re.match(r"python:3\.11(\.\d+)?-slim", arguments["PYTHON_IMAGE"])
    assert PROJECT["requires-python"] == ">=3.11"


def test_everything_copied_exists_and_is_sent_to_the_builder(steps: list[tuple[str, str]]) -> None:
    for source in copied_from_the_repository(steps):
        assert (ROOT / source).exists(), f"COPY {source}: not in the repository"
        assert sent_to_the_builder(source), f"COPY {source}: kept out by Dockerfile.dockerignore"


def test_every_package_of_the_project_is_in_the_image(steps: list[tuple[str, str]]) -> None:
    copied = copied_from_the_repository(steps)
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"}
    assert packages <= set(copied)


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", "demo/map.tif", "work/cube.zarr", "deploy/README.md"]
)
def test_nothing_else_is_sent_to_the_builder(path: str) -> None:
    assert not sent_to_the_builder(path)


def test_every_installation_is_pinned(steps: list[tuple[str, str]]) -> None:
    installs = [value for instruction, value in steps if instruction == "RUN" and "pip install" in value]
    assert installs
    assert all("-c constraints.txt" in value or "--no-deps" in value for value in installs)
    wanted = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in PROJECT["dependencies"]}
    assert wanted <= set(pins()), "a dependency of the project has no pin"


def test_the_pins_can_be_installed_from_a_public_index() -> None:
    local = [f"{name}=={version}" for name, version in pins().items() if "+" in version]
    assert not local, f"{local}: local versions are on no public index; pin the version without '+...'"


def test_the_image_sets_the_environment_that_ray_needs(stages: dict[str, list[tuple[str, str]]]) -> None:
    settings = " ".join(value for instruction, value in stages["base"] if instruction == "ENV").split()
    assert {f"{key}={value}" for key, value in WORKER_ENVIRONMENT.items()} <= set(settings)


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*")), ids=lambda path: path.name)
def test_no_file_of_deploy_holds_a_secret(path: pathlib.Path) -> None:
    if path.is_file():
        assert not SECRET.search(path.read_text(encoding="utf-8"))


def test_a_secret_would_be_found() -> None:
    assert SECRET.search("AWS_SECRET_ACCESS_KEY=" + "a1" * 20)
    assert SECRET.search("ENV RAY_AUTH_TOKEN: '" + "0f" * 32 + "'")


def test_manifests_run_the_images_of_this_version() -> None:
    images = {image for path in MANIFESTS for image in re.findall(r"image: (\S+)", path.read_text(encoding="utf-8"))}
    version = PROJECT["version"]
    assert images == {f"registry.example.com/tilth:{version}-{target}" for target in ("cpu", "gpu")}
