"""What applications send is taken out of a trace's captures before they are analysed, so that neither report nor bundle holds it."""

from dataclasses import replace
from pathlib import Path

from kubectl_vxtrace.analysis import inside_tunnels, vxlan_ports
from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.packets.scrub import PcapToScrub, scrub


def without_payload(recording: Recording, console: Console) -> Recording:
    """The recording with its captures, in its folder, scrubbed, unless its request asks for payload; see packets.scrub.

    Where that cannot be, it is said, and the captures are as they were: `scrubbed` of each says so, in the report too.
    """
    if recording.request is None or recording.request.payload:
        return recording
    place = Path(recording.folder)
    files = [PcapToScrub(tap=capture.task.tap, path=place / capture.file) for capture in recording.captures if capture.file is not None]
    try:
        left = scrub(files, vxlan_ports=vxlan_ports(recording), inside=inside_tunnels(recording))
    except OSError as error:
        left = [error.strerror or "input/output error"] * len(files)
    if reasons := sorted({reason for reason in left if reason is not None}):
        console.warn(f"payload could not be taken out of the captures: {'; '.join(reasons)}")
        return recording
    captures = tuple(
        capture if capture.file is None else replace(capture, scrubbed=True, sha256=capture.sha256 and folder.sha256(place / capture.file))
        for capture in recording.captures
    )
    scrubbed = replace(recording, captures=captures)
    try:
        folder.write_recording(place, scrubbed)
    except OSError as error:  # the report needs it not, and the bundle will say so itself
        console.warn(f"cannot write into {place}: {error.strerror or error}")
    return scrubbed
