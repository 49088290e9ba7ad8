"""The house holds together: versions agree, rooms keep their size, the public files say the same thing."""

import ast
import doctest
import importlib
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
environment = importlib.import_module("environment")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = environment.pins()
REQUIREMENTS = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in ("book", "test")))
    for line in lines
    if not line.startswith("triton")  # torch decides which version fits it
]
MODULES = sorted((ROOT / "featlib").rglob("*.py"))


def test_environment_file_agrees_with_pyproject_and_constraints():
    assert (ROOT / "environment.yml").read_text() == environment.text(), "run `python tools/environment.py`"
    written = yaml.safe_load(environment.text())
    assert set(written["dependencies"][-1]["pip"]) >= {"-e .", f"papermill=={PINS['papermill']}"}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_tested_version_satisfies_the_requirement(requirement):
    assert requirement.specifier.contains(PINS[environment.plain(requirement.name)])


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the constraints were tested together on Python 3.11")
@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_what_runs_here_is_what_the_constraints_say(requirement):
    installed = metadata.version(requirement.name).partition("+")[0]
    assert installed == PINS[environment.plain(requirement.name)], "run `make env`"


def test_every_pinned_version_runs_on_every_supported_python():
    """Also on the first patch release of the oldest: some distributions ship that one."""
    for package in metadata.distributions():
        if environment.plain(package.metadata["Name"]) in PINS:
            needs = SpecifierSet(package.metadata.get("Requires-Python") or "")
            assert all(needs.contains(version) for version in ("3.11.0", "3.13.0")), package.metadata["Name"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_keep_their_size(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", [path for path in MODULES if ">>> " in path.read_text()], ids=lambda path: path.stem)
def test_examples_in_docstrings_run(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = sys.modules.get(name) or importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def test_importing_the_library_imports_nothing_heavy():
    heavy = ["torch", "triton", "papermill", "typer", "matplotlib", "sphinx"]
    code = f"import sys, featlib, featlib.data.sources, featlib.press; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_triton_is_never_imported_with_the_kernels():
    code = "import sys, featlib.kernels; print('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_versions_agree():
    import featlib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert featlib.__version__ == PROJECT["version"] == citation["version"]
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text()


def test_make_lists_every_task():
    listed = subprocess.run(["make", "-s", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) == {"help", "env", "book", "serve", "lab", "test", "lint", "bench", "clean"}
    for target in targets:
        assert f"make {target} " in listed


def test_notebooks_are_stripped_typed_and_start_with_seed_and_device():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), path.name
        assert max(len(cell["source"]) for cell in cells) <= 30, f"{path.name}: a cell no longer fits on a screen"
        (parameters,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
        first, second = ast.parse("".join(parameters["source"])).body[:2]
        assert ast.unparse(first) == "seed: int = 0"
        assert ast.unparse(second) == "device: str = 'auto'"


def test_workflows_use_make():
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
        assert any("make " in step.get("run", "") for step in steps), path.name


def test_continuous_integration_runs_the_readmes_test_command():
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
    assert "make test" in (ROOT / "README.md").read_text()
