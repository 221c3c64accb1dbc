"""What is said where nothing was proven: a hop that could not see, and a loss that nothing explains."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="capture-blind",
        title="A hop could not be seen",
        text="The capture there failed, ended early or lost packets itself, so that it cannot testify that a packet was lost.",
        remediation="Trace again; if the kernel dropped packets at the capture, narrow it with --filter or --port.",
        source="tcpdump's closing numbers",
    ),
    Cause(
        slug="unknown",
        title="Not explained",
        text="The packets vanished on the leg that is named, and nothing that was read from the nodes explains it.",
        remediation="Attach the bundle to a ticket: it holds the captures of both ends of the leg and what both nodes' kernels said.",
        source="none",
    ),
)
