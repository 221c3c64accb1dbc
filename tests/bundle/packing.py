"""Bundles as they are written."""

from pathlib import Path

from kubectl_vxtrace.bundle.destination import Form
from kubectl_vxtrace.bundle.pack import Packing, pack

TOP = "vxtrace-7f3a-20261123T120000Z"
STARTED_S = 1_795_435_200


def packed(place: Path, destination: Path, form: Form = Form.ZIP) -> Path:
    """The trace folder `place` as a bundle."""
    pack(Packing(folder=place, name=TOP, time_s=STARTED_S), destination, form)
    return destination
