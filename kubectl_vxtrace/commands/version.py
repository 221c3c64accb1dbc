"""`version`: this plugin's, and the server's where one can be reached."""

from kubectl_vxtrace import __version__
from kubectl_vxtrace.commands import stdout
from kubectl_vxtrace.console import Console
from kubectl_vxtrace.errors import VxtraceError
from kubectl_vxtrace.flags.values import Notation
from kubectl_vxtrace.kube.config import connect, server_version
from kubectl_vxtrace.model.request import Access


def run(access: Access, console: Console, notation: Notation) -> None:
    """Print both; why there is no server's is said on stderr."""
    client = f"v{__version__}"
    server = None
    try:
        connection = connect(access, tell=console)
        console.detail(f"asking {connection.server}")
        server = server_version(connection)
    except VxtraceError as error:
        console.step(f"no server version: {error.message}")
    lines = [f"Client Version: {client}", *([f"Server Version: {server}"] if server else [])]
    stdout.answer(notation, "\n".join(lines), {"clientVersion": client, "serverVersion": server})
