"""The packages, and what each may import. Read from the source; nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
PACKAGE = REPO / "airflow_provider_leadconv"
MODULES = sorted(PACKAGE.rglob("*.py"))

CORE = {
    "api": {"api", "__init__"},
    "changefeed": {"api"},
    "progress": set(),
    "file_formats": {"api"},
    "table_files": {"file_formats"},
    "rendered": {"api"},
    "storage": {"storage"},
    "bulk": {"bulk", "storage", "file_formats", "table_files", "rendered", "changefeed", "progress", "api"},
    "export": {"export", "storage", "file_formats", "table_files", "changefeed", "progress", "api"},
    "waiting": {"waiting", "rendered", "changefeed", "api"},
    "account_check": {"account_check", "api", "__init__"},
    "sandbox": {"sandbox", "api.models", "__init__"},
}
"""Package -> what it may import. None of these may import Airflow."""

JOBS = {
    *("bulk", "export", "waiting", "storage", "changefeed", "progress"),
    *("file_formats", "table_files", "rendered", "api", "__init__"),
}
INTEGRATION = {
    "links": set(),
    "metrics": {"api"},
    "xcoms": set(),
    "lineage": {"api"},
    "get_provider_info": {"__init__", "hooks.connection_form"},
    "hooks": {"hooks", "metrics", "lineage", "account_check", *JOBS},
    "check": {"hooks", "account_check", "api"},
    "retry_policy": {"api"},
    "leads": {"hooks", *JOBS},
    "results": {"hooks", *JOBS},
    "triggers": {"triggers", "hooks", *JOBS},
    "assets": {"triggers", "hooks"},
    "operators": {"operators", "hooks", "links", "lineage", "metrics", "xcoms", *JOBS},
    "transfers": {"transfers", "hooks", "links", "lineage", "metrics", "xcoms", *JOBS},
    "sensors": {"triggers", "hooks", "links", "metrics", *JOBS},
    "__init__": set(),
}
"""The Airflow integration, from the bottom to the top."""

MAY_IMPORT = CORE | INTEGRATION


def package_of(module: str) -> str:
    """``airflow_provider_leadconv.api.codec`` -> ``api``."""
    return [*module.split("."), "__init__"][1]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports, inside functions and for type checkers as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield str(node.module)


def name_of(path: Path) -> str:
    parts = path.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path):
    here = package_of(name_of(path))
    for module in imports(path):
        if module.split(".")[0] == PACKAGE.name:
            allowed = {package_of(module), module.removeprefix(f"{PACKAGE.name}.")}
            assert allowed & MAY_IMPORT[here], f"{here} must not import {module}"


@pytest.mark.parametrize("path", [path for path in MODULES if package_of(name_of(path)) in CORE], ids=name_of)
def test_the_core_does_not_import_airflow(path: Path):
    assert "airflow" not in {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize("package", sorted({path.parent for path in MODULES if path.parent != PACKAGE}))
def test_a_package_has_at_most_14_modules_beside_its_init(package: Path):
    if package.name != "sandbox":  # an API with its account, faults and server; not of the core
        assert len(list(package.glob("*.py"))) <= 15


def templated_classes() -> Iterator[tuple[str, ast.ClassDef, set[str]]]:
    """Operators and sensors with their template fields."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            for statement in node.body:
                targets = (
                    [statement.target] if isinstance(statement, ast.AnnAssign) else getattr(statement, "targets", [])
                )
                if any(isinstance(target, ast.Name) and target.id == "template_fields" for target in targets):
                    yield f"{name_of(path)}.{node.name}", node, set(ast.literal_eval(statement.value))


TEMPLATED = list(templated_classes())

# On purpose: a path that does not end in a template tells whether it is a folder, so some mistakes show at once.
READ_BEFORE_RENDERING = {"LeadConversionExportOperator": {"path", "full"}}


def test_operators_and_sensors_have_template_fields():
    names = {name.rpartition(".")[2] for name, _, _ in TEMPLATED}
    assert names >= {"LeadConversionBulkOperator", "LeadConversionExportOperator", "LeadConversionSensor"}


@pytest.mark.parametrize(("cls", "fields"), [pytest.param(cls, fields, id=name) for name, cls, fields in TEMPLATED])
def test_a_constructor_only_keeps_what_a_template_may_render(cls: ast.ClassDef, fields: set[str]):
    # At that time a templated field still holds the template. It may be stored, and compared with None.
    constructor = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    stored = {
        node.targets[0].attr: node.value.id
        for node in constructor.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Attribute)
        and isinstance(node.value, ast.Name)
    }
    own = fields & {argument.arg for argument in constructor.args.kwonlyargs}
    assert {name: stored.get(name) for name in own} == {name: name for name in own}
    allowed = [node.value for node in constructor.body if isinstance(node, ast.Assign)]
    allowed += [
        node.left
        for node in ast.walk(constructor)
        if isinstance(node, ast.Compare) and [getattr(right, "value", ...) for right in node.comparators] == [None]
    ]
    uses = [node for node in ast.walk(constructor) if isinstance(node, ast.Name) and node.id in own]
    for use in uses:
        assert use in allowed, f"{use.id} is used in __init__, line {use.lineno}"
    read_again = {
        node.attr
        for node in ast.walk(constructor)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    assert fields & read_again == READ_BEFORE_RENDERING.get(cls.name, set())


def test_no_file_names_a_package_index():
    # Where packages come from is for the machine to say, not for us.
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("python" + "hosted", "org"), ("npmjs", "org"))]
    folders = [path for path in REPO.iterdir() if path.is_dir() and (path.name[0] != "." or path.name == ".ci")]
    files = [path for folder in folders if folder.name not in {"build", "dist"} for path in folder.rglob("*")]
    files += [path for path in REPO.iterdir() if path.name != ".coverage"]
    for path in filter(Path.is_file, files):
        text = path.read_text(errors="replace")
        assert not [host for host in hosts if host in text], path
