"""What is left out of the packed plugin is what it does without."""

import ast
import subprocess
import sys

import pytest

from tests.dist import building

SPECIFICATION = building.ROOT / "tests" / "dist" / "kubectl-vxtrace.spec"
PACKAGE = building.ROOT / "kubectl_vxtrace"


def value_of(name: str) -> ast.expr:
    for node in ast.parse(SPECIFICATION.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return node.value
    raise KeyError(name)


def left_out() -> tuple[list[str], str]:
    names: list[str] = eval(compile(ast.Expression(value_of("NOT_CALLED")), str(SPECIFICATION), "eval"))
    pattern = value_of("NOT_NEEDED")
    assert isinstance(pattern, ast.Call)
    return names, ast.literal_eval(pattern.args[0])


def imported() -> list[str]:
    """All that the plugin imports anywhere, also inside functions, and all of its own modules."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        found.add(".".join(path.relative_to(building.ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found.add(node.module)
    return sorted(found)


# Windows', and what a newer Python has.
ELSEWHERE = ("compression", "ctypes", "msvcrt", "winreg")


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is packed there")
def test_the_plugin_imports_nothing_that_is_left_out() -> None:
    names, pattern = left_out()
    assert "unittest" in names
    script = """
import importlib, re, sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if any(name == each or name.startswith(each + ".") for each in NAMES) or re.match(PATTERN, name):
            raise ModuleNotFoundError(f"{name} is left out", name=name)

sys.meta_path.insert(0, Nowhere())
for name in IMPORTED:
    if name.partition(".")[0] not in ELSEWHERE and name != "kubectl_vxtrace.__main__":
        importlib.import_module(name)
assert "numpy" in sys.modules and "kubernetes" in sys.modules and "pyshark" in sys.modules and "lxml.objectify" in sys.modules
"""
    given = f"NAMES, PATTERN, IMPORTED, ELSEWHERE = {names!r}, {pattern!r}, {imported()!r}, {ELSEWHERE!r}\n"
    done = subprocess.run([sys.executable, "-c", given + script], cwd=building.ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
