"""A network is one row: nowhere else in the package stands a name that a plug-in gives to what it makes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import kubectl_vxtrace
from kubectl_vxtrace.topology.cni import CNIS

PACKAGE = Path(kubectl_vxtrace.__file__).parent
ROWS = PACKAGE / "topology" / "cni.py"
# Its rooms still know names by heart, and its causes speak of products to people.
NOT_YET = PACKAGE / "diagnosis"
# Hides names and leaves words alone, of every network that a node may have, also of those that no row knows.
HIDES_ALL = PACKAGE / "pseudonyms"


def names() -> set[str]:
    """Every name of every row, without what varies in it."""
    found: set[str | None] = set()
    for cni in CNIS:
        found |= {cni.device.rstrip("*."), cni.bridge, *(prefix.rstrip("/") for prefix in cni.annotations.prefixes)}
        found |= {cni.pod_interfaces.prefix if cni.pod_interfaces is not None else None}
        found |= {name for rules in cni.rules for name in (*rules.chains, *rules.vxlan_sets, rules.fingerprint)}
        found |= {name for _, name in cni.config_maps}
        if cni.kinds is not None:
            found |= {cni.kinds.group.partition("/")[0], cni.kinds.settings, *(name for _, name in cni.kinds.agents)}
    return {name for name in found if name}


def strings(module: Path) -> Iterator[str]:
    """The strings of a module's code; docstrings and the comments of constants are for people."""
    tree = ast.parse(module.read_text())
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_only_the_rows_know_names_of_networks() -> None:
    pattern = re.compile("|".join(rf"(?<![A-Za-z]){re.escape(name)}" for name in sorted(names())))
    modules = [path for path in sorted(PACKAGE.rglob("*.py")) if path != ROWS and not {NOT_YET, HIDES_ALL} & set(path.parents)]
    assert len(modules) > 100
    found = {(path.relative_to(PACKAGE).as_posix(), text) for path in modules for text in strings(path) if pattern.search(text)}
    assert found == set()


def test_the_rows_have_names_to_look_for() -> None:
    assert {"cali", "flannel", "cni0", "crd.projectcalico.org", "FLANNEL-"} <= names()
    assert any(re.search("projectcalico", text) for text in strings(ROWS))
