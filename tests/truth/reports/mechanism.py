"""What a row of the second table is."""

from dataclasses import dataclass, field

LOST = ("lost", "dropped")
Cause = str | None  # None: the report names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a right report says, and what a wrong one must not.

    Attributes:
        legs, half_legs: where packets end, "DIRECTION NODE/ROLE > NODE/ROLE" ("-" where no hop follows), each as good as the others;
            longer legs that hold the right one. `legs` empty: they end nowhere.
        verdicts, half_verdicts: right and half right.
        causes, half_causes: right and half right.
        lies: causes that are wrong even as a warning.
        words: what the summary or a remedy has where a reader finds the fix by it (regular expression); "" is not asked.
        hint: what is half as good, because it only says where to begin.
        misleads: what makes a text half as good, because a reader would do it and nothing would change.
        harm: what no remedy may say, because it breaks what works.
        code: the exit status beside a right verdict; None is not asked.
    """

    legs: tuple[str, ...] = ()
    half_legs: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = LOST
    half_verdicts: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    half_causes: tuple[Cause, ...] = ()
    lies: tuple[str, ...] = ()
    words: str = ""
    hint: str = ""
    misleads: str = ""
    harm: str = ""
    code: int | None = None


HEALTHY = Right(verdicts=("delivered",), causes=(None,), code=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A row.

    Every text is filled in by tests/truth/words.py. Lines of `inject`, `heal` and `traffic` begin with the place they are about and a
    colon: a node, a pod by its role, or `fabric`.

    Attributes:
        name: unique; the backend is not part of it.
        kind: what has to be understood.
        source: the public report, owner/repo#number; "" where the mechanism follows from the kernel alone.
        backend: the shape of the nodes.
        inject: bash, in the order in which it is run; "run PROGRAM ..." is a program of tests/datapath/programs. "rules: NODE" writes a
            node's iptables rules anew; "record: NAME.ATTRIBUTE=VALUE" changes what the API says (of a node, pod or service, or of the
            "lab"), which healing always takes back.
        heal: bash that undoes it; () makes the lab anew.
        early: the traffic runs before anything is injected.
        settle_s: from the last of both to the proof.
        client, target: what is traced.
        duration_s: for how long.
        traffic: a program of tests/datapath/programs with its arguments, or "sh ..." for bash. The one that keeps counts (`ask`,
            `questions`) is what "answers" in `proof` speaks of; at most one does.
        proof: what is true while the mechanism is there and not without it, looked at for three seconds (tests/truth/reports/proof.py):
            "seen PLACE/DEVICE: FILTER", "unseen PLACE/DEVICE: FILTER"   tcpdump sees such a packet, or none
            "counts PLACE: COMMAND"                                      the numbers in its output grow
            "says PLACE: COMMAND ~ REGEX"                                its output has this
            "answers none|part|all|bad"                                  of the client's questions so many are answered (bad: not all)
        right: what a right report says.
    """

    name: str
    kind: str
    source: str
    inject: tuple[str, ...]
    proof: tuple[str, ...]
    right: Right
    heal: tuple[str, ...] = ()
    backend: str = "calico"
    early: bool = False
    settle_s: float = 0.5
    client: str = "{client.namespace}/{client.name}"
    target: str = "kube-dns"
    duration_s: float = 5.0
    traffic: tuple[str, ...] = field(default=("client: ask dns {kube-dns} {question}",))

    @property
    def title(self) -> str:
        """As it stands on the page and among the results; no name of the first table begins so."""
        return f"report: {self.name}"
