"""The user's own filter expression, before any node has seen it."""

from kubectl_vxtrace.errors import UsageError


def checked(expression: str) -> str:
    """The expression with its blanks made single.

    It reaches tcpdump as one argument after `--`, so that none of it can be an option; words that look like one are refused all the same,
    for nothing that is meant as a filter begins with `-`. Whether libpcap takes it only a node can say.

    Raises:
        UsageError: it is empty, holds control characters, or a word of it begins with `-`.
    """
    hint = "See pcap-filter(7); for instance: --filter 'udp port 53'."
    words = expression.split()
    if not words:
        raise UsageError("--filter is empty", hint)
    if not expression.isascii() or not all(character.isprintable() or character.isspace() for character in expression):
        raise UsageError(f"--filter holds characters that no filter can have: {expression!r}", hint)
    option = next((word for word in words if word.lstrip("(").startswith("-")), None)
    if option is not None:
        raise UsageError(f"--filter: {option!r} begins with '-'; options of tcpdump cannot be given", hint)
    return " ".join(words)
