"""What all paths of a trace share when they are judged."""

from collections.abc import Mapping
from dataclasses import dataclass

from kubectl_vxtrace.journeys.attribute.conversations import Membership
from kubectl_vxtrace.journeys.clock.offsets import Clocks
from kubectl_vxtrace.journeys.clock.window import Window
from kubectl_vxtrace.journeys.judge.rejections import QuotedRequests
from kubectl_vxtrace.journeys.records import Hook, TakingProgram, Testimony
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One trace: what was captured, what each tap is worth, clocks and window, and the ICMP errors that came back.

    frames_in_window: by tap, all its frames in the common window. memberships: by tap, what each conversation belongs to, as a request and
    as a reply. undecided: groups some of whose packets may be others'. programs: what may take packets before a tap sees them. entered:
    taps that saw packets of any path, with the way by which these passed.
    """

    recording: Recording
    tables: Mapping[Tap, PacketTable]
    testimonies: Mapping[Tap, Testimony]
    clocks: Clocks
    window: Window | None
    frames_in_window: Mapping[Tap, int]
    memberships: Mapping[Tap, tuple[Membership, Membership]]
    quoted: QuotedRequests
    undecided: frozenset[int]
    programs: tuple[TakingProgram, ...] = ()
    entered: frozenset[tuple[Tap, Hook]] = frozenset()

    def testimony_of(self, tap: Tap) -> Testimony:
        """The testimony of a tap; of one that was not captured, with what the recording says about it."""
        if tap in self.testimonies:
            return self.testimonies[tap]
        gaps = [gap for gap in self.recording.gaps if gap.node == tap.node and gap.interface in (None, tap.interface)]
        return Testimony(witness=False, reason=gaps[0].reason if gaps else "not captured")

    def role_of(self, tap: Tap) -> Role:
        """What a tap was captured as; of others the underlay."""
        roles = {capture.task.tap: capture.task.role for capture in self.recording.captures}
        return roles.get(tap, Role.UNDERLAY)
