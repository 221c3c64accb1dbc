"""The tests of a check notice when one of its evidence rules is taken away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import importlib, sys
import pytest
module, rule, answer = sys.argv[1:]
if rule:
    check = importlib.import_module(f"kubectl_vxtrace.diagnosis.causes.{module}")
    assert callable(getattr(check, rule))
    setattr(check, rule, lambda *_, **__: eval(answer))
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "tests/diagnosis/causes/" + module.replace(".", "/test_") + ".py"]))
"""


@pytest.mark.parametrize(
    ("module", "rule", "answer"),
    [
        ("host.tc_program", "_dropped", "99"),  # the filters' own counters of drops
        ("host.tc_program", "_agent", "None"),  # a program of the cluster's own agent is never taken away
        ("pod.firewall", "is_inside_pod", "True"),  # what drops behind another interface is not the pod's
        ("vxlan.device", "_taken_elsewhere", "False"),  # another device of the node has the VNI
        ("vxlan.vtep_macs", "_is_routed", "True"),  # a bridge's port takes frames for others
        ("wire.mtu", "_doubts", "[]"),  # what else fits `all lost are larger than all that passed`
        ("wire.mtu", "_narrow", "True"),  # the receiver's MTU lies between what passed and what was lost
    ],
)
def test_without_the_rule_a_test_fails(module: str, rule: str, answer: str) -> None:
    assert outcome(module, rule, answer) == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("module", ["host.tc_program", "pod.firewall", "vxlan.device", "vxlan.vtep_macs", "wire.mtu"])
def test_with_all_rules_none_does(module: str) -> None:
    assert outcome(module, "", "") == pytest.ExitCode.OK


def outcome(module: str, rule: str, answer: str) -> int:
    """The exit status of the check's tests, with `rule` answering `answer` always; as it is without a rule."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-c", RUN, module, rule, answer],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    ).returncode
