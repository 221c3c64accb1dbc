"""What is imported when: a trace starts without what only its analysis needs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ANALYSIS = (
    "numpy",
    "pyshark",
    "kubectl_vxtrace.analysis",
    "kubectl_vxtrace.diagnosis",
    "kubectl_vxtrace.journeys",
    "kubectl_vxtrace.packets",
)


def test_a_trace_starts_without_the_analysis() -> None:
    code = f"import sys, kubectl_vxtrace.commands.pod\nprint([name for name in {ANALYSIS!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_what_is_imported_meanwhile_is_the_analysis() -> None:
    code = "import sys\nfrom kubectl_vxtrace.commands import pod\npod._import_analysis()\nprint('kubectl_vxtrace.analysis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"
