"""Sick clusters: the tests of tests/e2e/real that `make promises` alone runs all of, as rows."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.promises.results import ROOT, NotRunError, Row

TESTS = [f"tests/e2e/real/test_{name}.py" for name in ("nodes", "admission", "sick")]


def run(on: str) -> Sequence[Row]:
    """A row for each test: its name is what is promised.

    Raises:
        NotRunError: not on this place, or pytest wrote nothing.
    """
    if on != "cluster":
        raise NotRunError("a kubelet, admission webhooks and evictions are real Kubernetes' own")
    with tempfile.TemporaryDirectory(prefix="vxpromise-") as folder:
        path = Path(folder) / "junit.xml"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, "--on", "cluster", "-m", "", f"--junitxml={path}"]
        done = subprocess.run(argv, cwd=ROOT, stdout=sys.stderr, check=False)
        if not path.exists():
            raise NotRunError(f"pytest ended with {done.returncode}")
        return [_row(case) for case in ElementTree.parse(path).iter("testcase")]


def _row(case: ElementTree.Element) -> Row:
    name = (case.get("name") or "").partition("[")[0].removeprefix("test_").replace("_", " ")
    said = {each.get("name"): each.get("value") or "" for each in case.iter("property")}
    failure = case.find("failure") if case.find("failure") is not None else case.find("error")
    wrong = ((failure.get("message") or "it failed").splitlines()[0][:300],) if failure is not None else ()
    return Row(name=name, expected=said.get("promise", ""), got=said.get("got", ""), wrong=wrong)
