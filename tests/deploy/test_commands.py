"""Every `tilth` command line in deploy/ is one that the program knows."""

import json
import re
import shlex

import pytest
import typer

from jobs.cli import app
from tests.deploy.files import DEPLOY

COMMAND = re.compile(r"(?<!namespace )\btilth ((?:[a-z]+)(?: +[^\s`|&;#]+)*)")
BLOCKS = re.compile(r"```(?:sh|bash)\n(.*?)```|`(tilth [^`]+)`", re.DOTALL)


def command_lines() -> list[list[str]]:
    """The words after `tilth` of each command in the README and in the RayJob's entrypoint."""
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    code = "\n".join(block or inline for block, inline in BLOCKS.findall(readme))
    entrypoint = re.search(r"entrypoint: >-\n((?: {4}\S.*\n)+)", (DEPLOY / "kuberay/rayjob.yaml").read_text("utf-8"))
    assert entrypoint
    joined = code.replace("\\\n", " ") + "\n" + " ".join(entrypoint[1].split())
    return [shlex.split(found) for found in COMMAND.findall(joined)]


def test_the_readme_shows_how_to_start_watch_and_stop() -> None:
    assert {"submit", "watch", "status", "resume", "cancel", "doctor"} <= {words[0] for words in command_lines()}


def test_every_command_and_option_is_one_of_tilths() -> None:
    program = typer.main.get_command(app)
    for words in command_lines():
        command = program.commands.get(words[0])  # type: ignore[attr-defined]
        assert command, f"tilth {words[0]}: no such command"
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=", 1)[0] for word in words[1:] if word.startswith("--")}
        assert used <= options | {"--help"}, f"tilth {shlex.join(words)}: no option {sorted(used - options)}"


def test_the_policies_in_the_readme_are_json_and_give_no_more_than_named_actions() -> None:
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    policies = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", readme, re.DOTALL)]
    assert policies
    for policy in policies:
        for statement in policy["Statement"]:
            assert not any(action.endswith("*") for action in statement["Action"])


def test_the_cost_example_of_the_readme_adds_up() -> None:
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    sums = re.findall(r"^\| .*\| ([\d ,.x×+()/-]+) = ([\d,.]+) \|$", readme, re.MULTILINE)
    assert len(sums) >= 4
    for formula, result in sums:
        factors = [float(factor.replace(",", "")) for factor in formula.split("×")]
        product = 1.0
        for factor in factors:
            product *= factor
        assert product == pytest.approx(float(result.replace(",", "")), abs=0.005), formula
