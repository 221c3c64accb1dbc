"""Files of a folder without payload, as a trace would have kept them."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.errors import PcapError
from kubectl_vxtrace.model.decoding import inside_tunnels, vxlan_ports
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.packets.scrub import Scrubber

ROUNDS = 4


def scrub(files: Sequence[tuple[Tap, Path]], *, vxlan_ports: Collection[int], inside: Collection[Tap] = ()) -> list[str | None]:
    """Scrub files in place, in their order, those that are stale again; for each None, or why it is as it was."""
    scrubber = Scrubber(vxlan_ports=vxlan_ports, inside=inside)
    raw = {tap: path.read_bytes() for tap, path in files}
    reasons: dict[Tap, str | None] = {}
    wanted = set(raw)
    for _ in range(ROUNDS):
        for tap, path in files:
            if tap in wanted:
                try:
                    path.write_bytes(scrubber.scrub(tap, bytearray(raw[tap])))
                    reasons[tap] = None
                except PcapError as error:
                    reasons[tap] = error.message
        wanted = set(scrubber.stale)
    assert not wanted
    return [reasons[tap] for tap, _ in files]


def without_payload(recording: Recording, *, turned: bool = False) -> Recording:
    """The recording with the captures in its folder scrubbed; those that cannot be are as they were, and marked so.

    turned: the last capture comes first.
    """
    place = Path(recording.folder)
    files = [(capture.task.tap, place / capture.file) for capture in recording.captures if capture.file is not None]
    inside = inside_tunnels(recording.flows, (capture.task for capture in recording.captures))
    if turned:
        files.reverse()
    reasons = dict(zip((tap for tap, _ in files), scrub(files, vxlan_ports=vxlan_ports(recording), inside=inside), strict=True))
    captures = tuple(
        replace(each, scrubbed=True, sha256=each.sha256 and folder.sha256(place / str(each.file)))
        if each.file is not None and reasons[each.task.tap] is None
        else each
        for each in recording.captures
    )
    made = replace(recording, captures=captures)
    folder.write_recording(place, made)
    return made
