"""`schema`: the JSON Schema of the report."""

from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.report import document


def run() -> None:
    """Print it."""
    stdout.write(document.schema_text())
