"""A recording under pseudonyms: what is given away of a trace with --anonymize. Its analysis says the same, but for addresses and names."""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from kubectl_vxtrace.bundle import folder
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.decoding import inside_tunnels, vxlan_ports
from kubectl_vxtrace.model.recording import CaptureResult, Recording
from kubectl_vxtrace.model.report import HopCount, LegTally, TraceReport
from kubectl_vxtrace.packets.anonymize import PcapToAnonymise, anonymise
from kubectl_vxtrace.pseudonyms import Pseudonyms
from kubectl_vxtrace.pseudonyms.addresses import KEY_BYTES
from kubectl_vxtrace.pseudonyms.records import changed, names_of
from kubectl_vxtrace.pseudonyms.text import forms

T = TypeVar("T")

_HINT = "without --anonymize addresses and names stay; --bundle none writes nothing"
_MOST_KEYS = 10
_TEXTS = (".json", ".jsonl", ".txt", ".md", ".html")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{8,32}")


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A recording under pseudonyms, in a folder of its own. `left_out`: raw answers of nodes that could not be told free of addresses."""

    recording: Recording
    pseudonyms: Pseudonyms
    left_out: int

    def changed(self, value: T) -> T:
        """The same record under the same pseudonyms."""
        return changed(value, self.pseudonyms.text)


def anonymous(recording: Recording, destination: Path) -> Anonymous:
    """The recording under pseudonyms of a key that is forgotten, with its captures and what nodes said, in `destination`, which is made.

    Raises:
        CannotRunError: it cannot be had, with the reason.
        OSError: a file cannot be read or written.
    """
    if any(capture.file is not None and not capture.scrubbed for capture in recording.captures):
        raise CannotRunError("cannot anonymize: the captures hold payload, in which anything may be named", _HINT)
    for _ in range(_MOST_KEYS):
        made = _under(Pseudonyms(secrets.token_bytes(KEY_BYTES)), recording, destination)
        # A pseudonym that is somebody else's name or address would be taken for it.
        if not made.pseudonyms.ambiguous():
            return made
    raise CannotRunError("cannot anonymize: too many names are alike", _HINT)


def _under(pseudonyms: Pseudonyms, recording: Recording, destination: Path) -> Anonymous:
    source, text = Path(recording.folder), pseudonyms.text
    text.learn(names_of(recording))
    destination.mkdir(mode=0o700, exist_ok=True)

    def pcaps(captures: Iterable[CaptureResult]) -> list[PcapToAnonymise]:
        kept = [(capture.task.tap, capture.file) for capture in captures if capture.file is not None]
        return [PcapToAnonymise(tap=tap, path=source / file, destination=destination / text(file)) for tap, file in kept]

    ports = vxlan_ports(recording)
    inside = inside_tunnels(recording.flows, (capture.task for capture in recording.captures))
    reason = anonymise(pcaps(recording.captures), pseudonyms, vxlan_ports=ports, inside=inside)
    if reason is None and recording.ab is not None:
        ports |= {port for pair in recording.ab.pairs for port in (pair.vxlan_port, pair.other_port)}
        reason = anonymise(pcaps(recording.ab.captures), pseudonyms, vxlan_ports=ports, inside=())
    if reason is not None:
        raise CannotRunError(f"cannot anonymize the captures: {reason}", _HINT)
    plain = replace(recording, folder="", cnis=())
    hidden = replace(changed(plain, text), folder=str(destination), cnis=recording.cnis, anonymized=True)
    hidden = replace(hidden, captures=tuple(_measured(capture, destination) for capture in hidden.captures))
    if hidden.ab is not None:
        between = tuple(_measured(capture, destination) for capture in hidden.ab.captures)
        hidden = replace(hidden, ab=replace(hidden.ab, captures=between))
    folder.write_recording(destination, hidden)
    if hidden.snapshot is not None:
        folder.write_snapshot(destination, hidden.snapshot)
    return Anonymous(hidden, pseudonyms, _write_looks(hidden, source, destination, pseudonyms))


def _measured(capture: CaptureResult, destination: Path) -> CaptureResult:
    if capture.file is None or capture.sha256 is None:
        return capture
    return replace(capture, sha256=folder.sha256(destination / capture.file))


def _write_looks(hidden: Recording, source: Path, destination: Path, pseudonyms: Pseudonyms) -> int:
    """Write what nodes said, parsed and, where that can be told free of addresses, as they said it; how many answers cannot."""
    said, drops = folder.texts(source)
    text = pseudonyms.text
    changed_texts = {
        when: {node: {key: text(answer.decode("utf-8", "replace")) for key, answer in answers.items()} for node, answers in by_node.items()}
        for when, by_node in said.items()
    }
    logs = {node: text(log.decode("utf-8", "replace")) for node, log in drops.items()}
    # All that has a pseudonym has been met by now.
    numbers = set(_as_numbers(pseudonyms))
    left_out = 0
    for when, facts in (("before", hidden.before), ("after", hidden.after)):
        clean: dict[str, dict[str, bytes]] = {}
        for node, answers in changed_texts[when].items():
            kept = {text(key): answer.encode() for key, answer in answers.items() if not _says(answer, numbers)}
            left_out += len(answers) - len(kept)
            clean[text(node)] = kept
        folder.write_facts(destination, when, facts, clean)
    for node, log in logs.items():
        folder.write_drop_log(destination, text(node), log.encode())
    return left_out


def _says(text: str, numbers: set[str]) -> bool:
    """Whether a text says an address as a number: as /proc does, or a filter's code."""
    return any(match[0].lower() in numbers for match in _HEXADECIMAL.finditer(text))


def _as_numbers(pseudonyms: Pseudonyms) -> Iterator[str]:
    """Addresses as hexadecimal numbers, in the order of the network and, word by word, of the machine."""
    for packed in pseudonyms.met():
        yield packed.hex()
        if len(packed) % 4 == 0:
            yield b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4)).hex()


def check_same(original: TraceReport, hidden: TraceReport) -> None:
    """Raise CannotRunError where the report under pseudonyms does not say what the original says."""
    for name, one, two in zip(("verdict", "flows", "findings", "packets", "comparison"), _said(original), _said(hidden), strict=True):
        if one != two:
            raise CannotRunError(f"cannot anonymize: the {name} of the report would not be the same", _HINT)


def _said(report: TraceReport) -> tuple[object, ...]:
    """What a report says without addresses and names; in any order, for that may be theirs."""
    flows = Counter(
        (
            flow.protocol,
            flow.connections,
            one.direction,
            one.verdict,
            tuple(map(_hop, one.hops)),
            tuple(map(_leg, one.legs)),
        )
        for flow in report.flows
        for one in flow.directions
    )
    findings = Counter(
        (each.cause, each.confidence, each.severity, each.direction, each.leg, each.packets, len(each.evidence)) for each in report.findings
    )
    packets = Counter((line.direction, line.outcome, len(line.sightings)) for line in report.packets)
    return (
        (report.verdict, report.impact, report.cause, report.completeness.complete, len(report.completeness.blind)),
        flows,
        findings,
        packets,
        Counter((each.decides, each.variants, each.source_ports) for each in report.ab),
    )


def _hop(hop: HopCount) -> tuple[object, ...]:
    return hop.hop, hop.role, hop.expected, hop.packets, hop.frames, hop.control, hop.witness


def _leg(leg: LegTally) -> tuple[object, ...]:
    return leg.from_, leg.to, leg.sent, leg.arrived, leg.lost, leg.undetermined


def check_nothing_remains(place: Path, hidden: Anonymous) -> None:
    """Raise CannotRunError where a file of the bundle still says an address, a MAC or another such form that has a pseudonym."""
    for path in sorted(place.rglob("*")):
        if path.suffix in _TEXTS:
            check_text(str(path.relative_to(place)), path.read_text("utf-8", "replace"), hidden)


def check_text(name: str, text: str, hidden: Anonymous) -> None:
    """The same of one text, which is called `name`."""
    originals = hidden.pseudonyms.text.replaced
    if (found := next((form for form in forms(text) if form in originals), None)) is not None:
        raise CannotRunError(f"cannot anonymize: {name} would still say {found}", _HINT)
