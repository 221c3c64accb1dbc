"""Connections and exchanges that end badly although packets arrive."""

from tests.truth.reports.mechanism import Mechanism, Right

_LATE_S = 1.6  # the client waits 1 s

MECHANISMS = (
    Mechanism(
        name="nat-entry-lost-mid-stream",
        kind="reset after the connection was up",
        source="moby/moby#29655",
        inject=(),
        heal=("ada-ec-1: true",),
        traffic=(
            "client: questions {kube-dns} {question}",
            "ada-ec-1: sh while sleep 0.7; do conntrack -D -p tcp --dport 53 >/dev/null 2>&1; done",
        ),
        target="kube-dns:53/tcp",
        settle_s=2.0,
        duration_s=8.0,
        proof=("answers bad", "seen ada-ec-1/{client.host_interface}: tcp[13]&4==4 and port 53"),
        right=Right(
            verdicts=("delivered",),
            half_verdicts=("lost", "rejected"),
            causes=("connection-broken", "reset-in-path", "conntrack-invalid"),
            half_causes=("unknown",),
            words=r"\bRST|reset",
        ),
    ),
    Mechanism(
        name="answers-after-the-client-gave-up",
        kind="late is not lost",
        source="coredns/coredns#7353",
        inject=(),
        heal=("ada-ec-1: true",),
        traffic=(
            f"web: nameserver {{web.address}}:5353 late {_LATE_S}",
            "client: ask dns {web.address}:5353 {question} --timeout 1",
        ),
        target="{web.address}:5353/udp",
        settle_s=2.0,
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: udp src port 5353 and dst host {client.address}",
            "seen ada-ec-1/{client.host_interface}: icmp[0]==3 and src host {client.address}",
        ),
        right=Right(
            verdicts=("delivered",),
            half_verdicts=("rejected",),
            causes=("late-answer",),
            half_causes=(None, "unknown"),
            lies=("nothing-listening", "server-silent"),
            words="late|gave up|too slow|after the (client|asker)|time-?out",
        ),
    ),
)
