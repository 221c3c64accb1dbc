"""Three recordings and every form of their reports, held in this folder; `python -m tests.golden.cases` rewrites them on purpose.

healthy and policy-drop were recorded on a real Calico (tests/calico); of lost, the simulator wrote the captures as somebody records
them by hand.
"""

import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

from kubectl_vxtrace import merged
from kubectl_vxtrace.analysis import Examined, every_packet, examine
from kubectl_vxtrace.bundle.source import open_recording
from kubectl_vxtrace.report import document, table, wide
from kubectl_vxtrace.report.changes import changes
from kubectl_vxtrace.report.html import page
from kubectl_vxtrace.report.lines import lines
from tests.calico.recorded import recording
from tests.handover.build import by_procedure, recorded

HERE = Path(__file__).parent
CALICO = {"healthy": "healthy", "policy-drop": "netpol-ingress"}
CASES = (*CALICO, "lost")


def examined(case: str, place: Path) -> Examined:
    """The report of a case, without tshark, which is not everywhere the same. place: an empty folder."""
    captures = place / "captures"
    captures.mkdir()
    if case in CALICO:
        return examine(recording(CALICO[case], captures))
    for name, content in by_procedure(recorded()).items():
        (captures / name).write_bytes(content)
    return examine(open_recording([captures], place / "scratch"))


def forms(found: Examined) -> Mapping[str, str]:
    """Every form of a report, by the name of its file."""
    report, given = found.report, found.case.recording
    capture = BytesIO()
    merged.write(found.case, report, capture)
    return {
        "table.txt": table.render(report, width=80, color=False, bundle="ticket.zip"),
        "wide.txt": wide.render(report, width=120, color=False, bundle="ticket.zip"),
        "packets.txt": "".join(lines(report, every_packet(found))),
        "report.json": document.to_json(report),
        "report.yaml": document.to_yaml(report),
        "report.md": document.to_markdown(report),
        "report.html": page.render(report, changes(given.before, given.after)),
        "merged.txt": "".join(f"{line}\n" for line in blocks(capture.getvalue())),
    }


def blocks(pcapng: bytes) -> Iterator[str]:
    """A line for each block of a pcapng (draft-ietf-opsawg-pcapng): type, length, and what it holds, foreign bytes escaped."""
    at = 0
    while at < len(pcapng):
        kind, length = struct.unpack_from("<II", pcapng, at)
        body = pcapng[at + 8 : at + length - 4]
        yield f"{kind:08x} {length} {body!r}"
        at += length


def main() -> int:
    """Rewrite what is held."""
    for case in CASES:
        with tempfile.TemporaryDirectory() as place:
            (HERE / case).mkdir(exist_ok=True)
            for name, text in forms(examined(case, Path(place))).items():
                (HERE / case / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
