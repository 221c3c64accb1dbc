"""Each threshold says what it decides, how often it is wrong, and whether that was derived or measured."""

import ast
from pathlib import Path

import pytest

from kubectl_vxtrace.journeys import judgement
from kubectl_vxtrace.model import kernel_drops

MODULES = (judgement, kernel_drops)
BODY = [node for module in MODULES for node in ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body]
NAMES = [node.targets[0].id for node in BODY if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]


def _said(name: str) -> str:
    """The string that follows the constant."""
    at = next(
        index
        for index, node in enumerate(BODY)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name
    )
    following = BODY[at + 1]
    assert isinstance(following, ast.Expr)
    assert isinstance(following.value, ast.Constant)
    return str(following.value.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_says_how_often_it_is_wrong(name: str) -> None:
    said = _said(name)
    assert "\nFalse: " in said
    assert "\nMissed: " in said
    assert "(derived" in said or "(measured" in said


def test_every_name_is_used_by_the_room() -> None:
    room = Path(judgement.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in room.rglob("*.py") if path.name != "judgement.py")
    assert [name for name in NAMES if name not in code and name not in vars(kernel_drops)] == []
