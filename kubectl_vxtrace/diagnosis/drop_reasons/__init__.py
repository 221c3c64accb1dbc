"""The kernel's reasons for drops, all of them: what each means for a packet between pods, and where in a node it can be said.

Taken from enum skb_drop_reason in include/net/dropreason-core.h, as far as Linux 7.0, with what was renamed or moved since.
Pure data; a reason that is not here is unknown, and says only its own name.
"""

from kubectl_vxtrace.diagnosis.drop_reasons.filtering import FILTERING, OPEN_VSWITCH, SUBSYSTEMS
from kubectl_vxtrace.diagnosis.drop_reasons.internet import INTERNET
from kubectl_vxtrace.diagnosis.drop_reasons.places import PLACES
from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage
from kubectl_vxtrace.diagnosis.drop_reasons.receiving import RECEIVING
from kubectl_vxtrace.diagnosis.drop_reasons.sending import SENDING
from kubectl_vxtrace.diagnosis.drop_reasons.sockets import SOCKETS
from kubectl_vxtrace.diagnosis.drop_reasons.tcp import TCP
from kubectl_vxtrace.diagnosis.drop_reasons.tunnels import TUNNELS

__all__ = ["PLACES", "REASONS", "DropReason", "Stage", "drop_reason"]

REASONS = (*RECEIVING, *INTERNET, *FILTERING, *SOCKETS, *TCP, *SENDING, *TUNNELS, *OPEN_VSWITCH)

_BY_NAME = {row.name: row for row in REASONS}
_BY_PLACE = {(row.name, row.function): row for row in PLACES}
_SUBSYSTEM_SHIFT = 16  # SKB_DROP_REASON_SUBSYS_SHIFT


def drop_reason(name: str, function: str = "") -> DropReason | None:
    """What the kernel's reason `name` means, None for one that is not known.

    Args:
        name: as KernelDrop has it; a number (`0x30003`) is a subsystem's.
        function: where the packet was freed, which makes some reasons clearer; compilers' endings (`.constprop.0`) do not matter.
    """
    place = _BY_PLACE.get((name, function.partition(".")[0]))
    return place or _BY_NAME.get(name) or _of_subsystem(name)


def _of_subsystem(name: str) -> DropReason | None:
    try:
        subsystem, number = divmod(int(name, 16), 1 << _SUBSYSTEM_SHIFT) if name.startswith("0x") else (0, 0)
    except ValueError:
        return None
    return OPEN_VSWITCH[number - 1] if subsystem in SUBSYSTEMS and 0 < number <= len(OPEN_VSWITCH) else None
