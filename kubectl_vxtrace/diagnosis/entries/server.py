"""Causes at the last hop: the pod, its process, and who answers in its place."""

from kubectl_vxtrace.diagnosis.cause import Cause

CAUSES = (
    Cause(
        slug="pod-unreachable",
        title="The pod does not answer on its own interface",
        text="The server's node asks for the pod's MAC address and gets no answer: the pod is gone, or its eth0 is down.",
        remediation="Check that the pod runs on that node and that its eth0 is up; delete the pod if its sandbox is broken.",
        source="RFC 826; RFC 1122, 2.3.2.2",
    ),
    Cause(
        slug="nothing-listening",
        title="Nothing listens on the server's port",
        text="The request reached the server, and its kernel answered with TCP RST or ICMP port unreachable.",
        remediation=(
            "Check that the process in the pod runs and listens on that port and address (ss -lntu in the pod), and the Service's "
            "targetPort."
        ),
        source="RFC 9293, 3.10.7.1; RFC 1122, 4.1.3.1",
    ),
    Cause(
        slug="server-silent",
        title="The server does not answer",
        text="All requests reached the server's last hop and no reply was seen there.",
        remediation="Look into the server's pod: process, log, socket queues (ss -lntu), its routes (ip route) and its own firewall.",
        source="absence of replies at the server's last hop",
    ),
    Cause(
        slug="socket-overflow",
        title="The server's socket is full",
        text=(
            "Requests reach the pod faster than its process takes them: the receive buffer of the UDP socket is full "
            "(Udp.RcvbufErrors), or the queue of connections that wait for accept is (TcpExt.ListenOverflows). The kernel drops them "
            "without an answer."
        ),
        remediation=(
            "Look in the pod's network namespace: nstat -az UdpRcvbufErrors TcpExtListenOverflows, ss -lnt (Recv-Q at Send-Q). Mend: "
            "more replicas or a faster process; a larger backlog and net.core.somaxconn; for UDP a larger SO_RCVBUF and "
            "net.core.rmem_max."
        ),
        source="Linux net/ipv4/udp.c (__udp_enqueue_schedule_skb), net/ipv4/tcp_ipv4.c (tcp_v4_syn_recv_sock); listen(2)",
        admitted=True,
    ),
    Cause(
        slug="reset-in-path",
        title="Something between client and server resets the connection",
        text=(
            "A TCP RST arrives at one end that the other end never sent: it first appears at a hop in the middle, often with another "
            "TTL. A firewall, an intrusion prevention system or a proxy on the way writes it."
        ),
        remediation=(
            "Look: the hop at which the RST is first seen, and its TTL against that of the server's other packets. Mend in the rules "
            "of the device or program there."
        ),
        source="RFC 9293, 3.5.2; Linux net/ipv4/netfilter/nf_reject_ipv4.c",
    ),
)
