"""The specs that docs/troubleshoot has, and what they are run with."""

import os
import sys
from pathlib import Path

import yaml

from tests.command import ROOT
from tests.troubleshoot.tool import Spec

FOLDER = ROOT / "docs" / "troubleshoot"
SPECS = sorted(FOLDER.glob("*.yaml"))


def load(path: Path) -> Spec:
    loaded: Spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def environment(place: Path) -> dict[str, str]:
    """That of the machine, with the plugin on its PATH and variables that are nobody's business."""
    programs = place / "bin"
    programs.mkdir()
    plugin = programs / "kubectl-vxtrace"
    plugin.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m kubectl_vxtrace "$@"\n')
    plugin.chmod(0o755)
    own = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(place), "HTTPS_PROXY": "http://user:secret@proxy"}
    return own | {"KUBECONFIG": str(place / "config")}
