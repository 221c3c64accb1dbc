"""`schema`: the JSON Schema of the report."""

import json

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.report import document


def run() -> None:
    """Print it."""
    stdout.write(json.dumps(document.schema(), indent=2) + "\n")
