"""Whose conversations and frames are, as far as the planned flows and some connections tell."""

from collections.abc import Mapping, Sequence

from kubectl_vxtrace.journeys.identity import classify, conntrack_names, ends_of, groups_of
from kubectl_vxtrace.journeys.known import address_book
from kubectl_vxtrace.journeys.sightings import sight
from kubectl_vxtrace.model.facts import ConntrackEntry
from kubectl_vxtrace.model.packets import PacketTable
from kubectl_vxtrace.model.path import Tap
from kubectl_vxtrace.model.recording import Recording


class Identified:
    """The frames of the planned flows.

    Attributes:
        recording, tables: what was captured.
        book: the addresses that bear on the flows.
        groups: the planned flows, joined where they share a service.
        names: the backends that conntrack names.
        ends, roles: by tap, both readings of each conversation (as a request, as a reply): its ends, and which group's it is.
        seen: by tap, the frames that belong to a group.
    """

    def __init__(self, recording: Recording, tables: Mapping[Tap, PacketTable], connections: Sequence[ConntrackEntry]) -> None:
        self.recording = recording
        self.tables = tables
        self.book = address_book(recording, connections)
        self.groups = groups_of(recording, self.book, connections)
        self.names = conntrack_names(connections, self.book, self.groups)
        self.ends = {tap: ends_of(table, self.book) for tap, table in tables.items()}
        self.roles = classify(self.groups, self.ends, self.names)
        self.seen = {tap: sight(table, self.roles[tap]) for tap, table in tables.items()}
