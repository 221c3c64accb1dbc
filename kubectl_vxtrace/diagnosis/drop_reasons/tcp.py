"""Reasons of TCP. Most speak of duplicates and of connections that are over: they are no loss, and a healthy server says them all day."""

from kubectl_vxtrace.diagnosis.drop_reasons.reason import DropReason, Stage


def _row(
    name: str, since: str, meaning: str, look: str, *, cause: str | None = None, is_loss: bool = False, is_usual: bool = True
) -> DropReason:
    return DropReason(
        name=name,
        since=since,
        first=Stage.TRANSPORT,
        last=Stage.SOCKET,
        meaning=meaning,
        look=look,
        cause=cause,
        is_loss=is_loss,
        is_usual=is_usual,
    )


def _lost(name: str, since: str, meaning: str, look: str, *, cause: str | None = None) -> DropReason:
    return _row(name, since, meaning, look, cause=cause, is_loss=True, is_usual=False)


_SIGNED = "nstat -az TcpExtTCPMD5*; the peers' settings of TCP-MD5 or TCP-AO"
_TIMESTAMPS = "nstat -az TcpExtPAWS* TcpExtTSEcrRejected; whether several clients share one address (NAT)"
_WINDOW = "the sequence numbers in the capture; nstat -az TcpExtTCPChallengeACK TcpExtTCPACKSkipped*"

TCP = (
    _lost("TCP_CSUM", "5.17", "its TCP checksum is wrong", "nstat -az TcpInCsumErrors; ethtool -k DEVICE"),
    _lost("TCP_AUTH_HDR", "6.7", "its signature options (TCP-MD5, TCP-AO) are wrong or twice there", _SIGNED),
    _lost("TCP_MD5NOTFOUND", "5.18", "it is not signed (TCP-MD5), and should be", _SIGNED),
    _lost("TCP_MD5UNEXPECTED", "5.18", "it is signed (TCP-MD5), and should not be", _SIGNED),
    _lost("TCP_MD5FAILURE", "5.18", "its signature (TCP-MD5) is wrong", _SIGNED),
    _lost("TCP_AONOTFOUND", "6.7", "it is not signed (TCP-AO), and should be", _SIGNED),
    _lost("TCP_AOUNEXPECTED", "6.7", "it is signed (TCP-AO), and should not be", _SIGNED),
    _lost("TCP_AOKEYNOTFOUND", "6.7", "its signature's key (TCP-AO) is not known", _SIGNED),
    _lost("TCP_AOFAILURE", "6.7", "its signature (TCP-AO) is wrong", _SIGNED),
    _lost(
        "TCP_LISTEN_OVERFLOW",
        "6.15",
        "the server had accepted too few of the connections that wait",
        "ss -lnt (Recv-Q over Send-Q); nstat -az TcpExtListenOverflows TcpExtListenDrops",
        cause="socket-overflow",
    ),
    _lost("TCP_MINTTL", "6.3", "its time to live is below what the socket demands", "ss -tie; the hops between both ends"),
    _lost(
        "TCP_ZEROWINDOW",
        "5.18",
        "the receiver's window is closed: its application does not read",
        "ss -tim; nstat -az TcpExtTCPZeroWindowDrop",
    ),
    _lost("TCP_OFO_QUEUE_PRUNE", "5.19", "memory for data out of order was needed elsewhere", "nstat -az TcpExtOfoPruned TcpExtRcvPruned"),
    _row("TCP_FLAGS", "5.18", "its flags make no sense in that state of the connection", "the flags in the capture"),
    _row(
        "TCP_ABORT_ON_DATA",
        "6.9",
        "data for a connection that its owner had closed; it is answered with a reset",
        "nstat -az TcpExtTCPAbortOnData",
    ),
    _row("TCP_OLD_DATA", "5.18", "data that had come before", "nstat -az TcpExtDelayedACKLost"),
    _row("TCP_OVERWINDOW", "5.18", "data beyond the receiver's window", _WINDOW),
    _row("TCP_OFOMERGE", "5.18", "data out of order that had come before", "nstat -az TcpExtTCPOFOMerge"),
    _row("TCP_OFO_DROP", "5.19", "data out of order that had come before, or had no room", "nstat -az TcpExtTCPOFODrop"),
    _row("TCP_RFC7323_PAWS", "5.19", "its time stamp is older than the last one of its connection", _TIMESTAMPS),
    _row("TCP_RFC7323_PAWS_ACK", "6.14", "an acknowledgement whose time stamp is older than the last one", _TIMESTAMPS),
    _row("TCP_RFC7323_TW_PAWS", "6.15", "its time stamp is older than the last one of a connection that has just ended", _TIMESTAMPS),
    _row("TCP_RFC7323_TSECR", "6.15", "it echoes a time stamp that was never sent", _TIMESTAMPS),
    _row("TCP_OLD_SEQUENCE", "6.6", "all of it had come before", _WINDOW),
    _row("TCP_INVALID_SEQUENCE", "5.19", "its sequence number lies outside the window", _WINDOW),
    _row("TCP_INVALID_END_SEQUENCE", "6.15", "its last sequence number lies outside the window", _WINDOW),
    _row("TCP_INVALID_ACK_SEQUENCE", "6.9", "it acknowledges what is not in flight", _WINDOW),
    _row("TCP_OLD_ACK", "5.19", "an acknowledgement of what was acknowledged before", _WINDOW),
    _row("TCP_TOO_OLD_ACK", "5.19", "a very old acknowledgement", _WINDOW),
    _row("TCP_ACK_UNSENT_DATA", "5.19", "it acknowledges what was never sent", _WINDOW),
    _row(
        "TCP_RESET",
        "5.19",
        "a reset: one that ended its connection, or one that was ignored",
        "nstat -az TcpEstabResets; the resets in the capture",
    ),
    _row("TCP_INVALID_SYN", "5.19", "a SYN in the middle of a connection", "nstat -az TcpExtTCPSYNChallenge"),
    _row("TCP_CLOSE", "5.19", "its connection is closed", "ss -ta"),
    _row("TCP_FASTOPEN", "5.19", "a socket of TCP Fast Open does not want it in that state", "nstat -az TcpExtTCPFastOpen*"),
)
