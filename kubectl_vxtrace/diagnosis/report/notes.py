"""What has to be said beside the verdict: of files, of what the API did not give, and of what the nodes did not let a debug pod see."""

import re
from collections.abc import Iterator

from kubectl_vxtrace.model.recording import Recording

# In the words of nft, iptables, ip, conntrack and bpf(2).
_NOT_ALLOWED = re.compile(r"not permitted|permission denied|must be root|CAP_[A-Z]+", re.IGNORECASE)
# By how the key of a question begins; see facts/answer.py.
_SUBJECTS = {
    "nft": "packet filters",
    "iptables": "packet filters",
    "conntrack": "connections and their translations",
    "tcx": "programs that may take packets",
    "bpf": "programs that may take packets",
    "xfrm": "IPsec",
    "pod-namespaces": "interfaces, counters and sockets inside the pods",
    "pod-": "counters and sockets inside the pods",
}
_INSIDE = "pod-counters."
_DROPS = "what the kernel dropped, and why"
_FULL_PROFILE = "privileged"


def notes(recording: Recording) -> tuple[str, ...]:
    """The sentences, in that order."""
    refused = recording.snapshot.refused if recording.snapshot is not None else ()
    return (*recording.notes, *refused, *_untold(recording))


def _untold(recording: Recording) -> Iterator[str]:
    """What takes more rights on a node than the debug pod has, in one sentence for all nodes that told equally little."""
    profile = recording.request.pod_options.profile if recording.request is not None else _FULL_PROFILE
    by_subjects: dict[tuple[str, ...], list[str]] = {}
    for node in dict.fromkeys(facts.node for facts in (*recording.before, *recording.after)):
        subjects = tuple(dict.fromkeys(_unseen(recording, node, profile)))
        if subjects:
            by_subjects.setdefault(subjects, []).append(node)
    for subjects, nodes in by_subjects.items():
        why = f"a debug pod of --profile {profile}" if profile != _FULL_PROFILE else "the debug pod"
        yield f"{why} could not see on {', '.join(nodes)}: {'; '.join(subjects)}. Causes that these prove are not found"


def _unseen(recording: Recording, node: str, profile: str) -> Iterator[str]:
    for facts in (*recording.before, *recording.after):
        for key, reason in facts.absent.items() if facts.node == node else ():
            # Who may not enter namespaces sees none, and is not told so.
            unentered = key.startswith(_INSIDE) or (key == "pod-namespaces" and profile != _FULL_PROFILE)
            if unentered or _NOT_ALLOWED.search(reason):
                yield next((subject for begin, subject in _SUBJECTS.items() if key.startswith(begin)), key)
    if node in recording.kernel_drops_absent and (profile != _FULL_PROFILE or _NOT_ALLOWED.search(recording.kernel_drops_absent[node])):
        yield _DROPS
