"""Imports point down, by reading every module's source: those inside functions count as well."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = (
    "__main__",
    "cli",
    "commands",
    "codabench",
    "display api gate session reporting",
    "run_report",
    "export",
    "supplement",
    "turns",
    "outcome evaluate boards findings regression published render gallery",
    "assessment cluster",
    "results cluster_crew",
    "shelf watch timed_tasks worksite",
    "tasks fingerprint executor",
    "job",
    "admission agreement audit calibration quality contact_sheet",
    "schema template",
    "datasets additions",
    "remote timing conversion enhancement isolation launch watchdog dataset embedded assets challenge scoring "
    "sensitivity score_table environment submission archive tolerances showcase",
    "flags peers",
    "forecast",
    "statistics metrics formats protocol records files screen signals progress errors __init__",
)
"""From the top; a name stands for a module or for all modules of a package. Within a layer only circles are wrong."""

CHILD = {
    "worker": {"protocol", "confinement", "serving"},
    "serving": {"formats", "protocol", "confinement", "runtimes"},
    "confinement": {"__init__"},
    "runtimes": {"protocol", "runtimes"},
}
"""What runs in the child process, and all that it may import; nothing else imports it."""

REFERENCE = {
    "ablation": {"assets", "environment", "files"},
    "ablation_report": {"published", "render"},
    "ablation_sample": {"statistics"},
    "build": {"submission", "assets", "errors", "files"},
    "command": {"errors"},
    "contact_sheet": {"embedded", "enhancement", "errors", "isolation", "submission"},
    "data": {"assets", "datasets"},
    "distill": {"assets", "embedded", "files"},
    "export": {"files"},
    "export_formats": {"assets", "errors", "files", "formats"},
    "fit_camera": {"assets", "datasets", "embedded", "files"},
    "train": {"assets"},
    "training_page": {"render"},
    "report": {"assets", "dataset", "datasets", "embedded", "errors", "files", "submission"},
    "run_folder": {"environment", "files"},
    "validation": {"assets", "errors", "metrics"},
}
"""The modules of reference that may import harness, and what of it."""

HEAVY = {
    "torch",
    "torchvision",
    "pyiqa",
    "onnx",
    "onnxruntime",
    "matplotlib",
    "tensorflow",
    "tf2onnx",
    "ai_edge_litert",
    "dask",
    "distributed",
    "fsspec",
}
"""Imported only inside the functions that use them; runtimes, in the child process, is there for nothing else."""

SLOW = {"numpy", "scipy", "pandas", "skimage", "PIL", "tabulate", "msgspec"}
"""Not needed to print a command's help."""


def list_modules(package: str) -> dict[str, ast.Module]:
    """Source trees by module, such as 'harness.metrics.psnr'; a package's own is 'harness.__init__'."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return {
        ".".join(p.relative_to(ROOT).with_suffix("").parts): ast.parse(p.read_text(encoding="utf-8")) for p in paths
    }


def list_imports(tree: ast.AST, modules: Iterable[str]) -> Iterator[str]:
    """Full names of the modules imported anywhere below a node; `from harness import archive` is harness.archive."""
    known = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: a relative import")
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known or f"{full}.__init__" in known else str(node.module)


def name_part(module: str) -> str:
    """'metrics' for harness.metrics.psnr, '__init__' for harness itself."""
    return (*module.split("."), "__init__")[1]


def collect_parts(package: str, modules: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Which parts of harness each module imports."""
    known = [*modules, *list_modules("harness")]
    return {
        name: {name_part(i) for i in list_imports(tree, known) if i.partition(".")[0] == "harness"}
        for name, tree in modules.items()
    }


def find_upward(imports: dict[str, set[str]]) -> list[str]:
    """Sentences for imports that do not point down."""
    levels = {part: level for level, layer in enumerate(LAYERS) for part in layer.split()}
    faults = []
    for module, parts in imports.items():
        part = name_part(module)
        if part in CHILD:
            faults += [f"{module} imports {other}" for other in parts - CHILD[part]]
        else:
            faults += [f"{module} imports {other}" for other in parts if levels.get(other, -1) < levels[part]]
    return faults


def test_every_module_has_its_layer() -> None:
    known = {part for layer in LAYERS for part in layer.split()} | set(CHILD)
    assert {name_part(module) for module in list_modules("harness")} == known


def test_imports_point_down() -> None:
    assert find_upward(collect_parts("harness", list_modules("harness"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from harness.cli import main",
        "import harness.evaluate",
        "def f():\n    from harness import boards",
        "if True:\n    from harness.render.cells import escape",
        "from harness import worker",
        "from harness.runtimes import onnx",
    ],
)
def test_an_import_that_points_up_is_found(source: str) -> None:
    assert len(find_upward(collect_parts("harness", {"harness.challenge": ast.parse(source)}))) == 1


def test_child_may_not_import_the_rest() -> None:
    source = "from harness import protocol\nfrom harness.records import Record"
    assert find_upward(collect_parts("harness", {"harness.worker": ast.parse(source)})) == [
        "harness.worker imports records"
    ]


def test_imports_go_in_no_circle() -> None:
    modules = list_modules("harness")
    graph = {name: {i for i in list_imports(tree, modules) if i in modules} for name, tree in modules.items()}
    assert sum(map(len, graph.values())) > 80
    list(TopologicalSorter(graph).static_order())
    with pytest.raises(CycleError):
        list(TopologicalSorter(graph | {"harness.errors": {"harness.cli"}}).static_order())


def test_harness_never_imports_reference() -> None:
    modules = list_modules("harness")
    imported = {i.partition(".")[0] for tree in modules.values() for i in list_imports(tree, modules)}
    assert "msgspec" in imported
    assert "reference" not in imported
    assert "tests" not in imported


def test_reference_uses_little_of_harness() -> None:
    modules = list_modules("reference")
    assert set(REFERENCE) <= {name_part(module) for module in modules}
    for module, parts in collect_parts("reference", modules).items():
        assert parts <= REFERENCE.get(name_part(module), set()), module


def list_loaded(modules: Iterable[str]) -> set[str]:
    """The libraries that a fresh interpreter has loaded once it has imported these modules."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_heavy_libraries_wait_until_they_are_used() -> None:
    modules = [name.removesuffix(".__init__") for name in list_modules("harness") if name_part(name) not in CHILD]
    loaded = list_loaded(name for name in modules if not name.endswith("__main__"))
    assert "pandas" in loaded
    assert not loaded & HEAVY


def test_command_line_starts_without_slow_libraries() -> None:
    loaded = list_loaded(["harness.cli"])
    assert "typer" in loaded
    assert not loaded & (HEAVY | SLOW)
