"""A container as a real process tree: own mounts, PIDs and host name, in a node's network namespace.

Nothing of it can outlive it. Its root is a tmpfs in a mount namespace of its own, with the machine's programs (/usr, /etc)
bound read-only; its volumes are tmpfs; it shows in no mount table but its own, and all of it goes when its last process
ends. Its first process is PID 1 of its PID namespace, so that the kernel ends every other one with it (pid_namespaces(7)),
exec'ed ones too. If whoever started it dies, it is killed (PR_SET_PDEATHSIG, prctl(2): the thread that called `start` must
live as long as the container).
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $1 host name, $2 "ro" or "rw" root, $3 "ro" or "rw" kernel settings, $4 the program, then pairs of volume path and size up to
# "--", then the command; "host:" and a path of the machine in place of a size show that, with all that is mounted below it, read-only.
# Standard input is a socket: its other end is told the PID, as seen outside, and answers with a line when it holds on to that process;
# only then does this become the command.
_SETUP = r"""
set -eu
path=$PATH
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
read -r pid rest < /proc/self/stat
echo "$1" > /proc/sys/kernel/hostname
root=$2 kernel=$3 program=$4
shift 4
mount -n -t tmpfs -o mode=0755 tmpfs /tmp
cd /tmp
mkdir -p etc usr proc sys dev/shm run tmp root old var/tmp
chmod 1777 tmp var/tmp
ln -s ../run var/run
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty dev/
ln -s /proc/self/fd dev/fd
mount -n -o bind,ro /usr usr
mount -n -o bind,ro /etc etc
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then cp -P "/$name" .; elif [ -d "/$name" ]; then mkdir "$name"; mount -n -o bind,ro "/$name" "$name"; fi
done
mount -n -t proc proc proc
mount -n -t sysfs -o "$kernel" sysfs sys
mount -n -t tmpfs -o mode=1777,size=64m tmpfs dev/shm
if [ "$kernel" = ro ]; then mount -n -o bind,ro proc/sys proc/sys; fi
while [ "$1" != -- ]; do
  mkdir -p "./$1"
  case $2 in
  host:*) mkdir -p "${2#host:}"; mount -n -o rbind,ro "${2#host:}" "./$1" ;;
  *) mount -n -t tmpfs -o "mode=0777,size=$2" tmpfs "./$1" ;;
  esac
  shift 2
done
shift
pivot_root . old
cd /
umount -n -l /old
rmdir /old
if [ "$root" = ro ]; then mount -n -o remount,ro /; fi
PATH=$path
if ! command -v "$program" > /dev/null; then echo "exec: \"$program\": executable file not found in \$PATH" >&2; exit 128; fi
echo "$pid" >&0
read -r go
exec < /dev/null
exec "$@"
"""

# What containerd leaves a container that is not privileged (containerd, pkg/oci, defaultUnixCaps).
_DEFAULT = "chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill audit_write"
DEFAULT_CAPABILITIES = frozenset(re.findall(r"\w+", _DEFAULT))


class StartError(Exception):
    """The container did not come up; the text is what its start said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What to run.

    Attributes:
        netns: path of the network namespace, /run/netns/NAME.
        hostname: of its UTS namespace.
        argv: the command, at least one word.
        environment: whole; PATH decides where the command is looked for.
        volumes: (absolute path in the container, size in bytes or None) of its empty volumes.
        host_paths: (absolute path in the container, that on the machine) of what it is shown of the machine, read-only.
        capabilities: None for a privileged container, else lower-case names without "cap_".
        host_pid: it has the machine's process namespace; what is run in it besides the command then does not end with it.
    """

    netns: str
    hostname: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    volumes: tuple[tuple[str, int | None], ...] = ()
    host_paths: tuple[tuple[str, str], ...] = ()
    read_only: bool = False
    capabilities: frozenset[str] | None = None
    no_new_privileges: bool = False
    host_pid: bool = False

    def confine(self) -> list[str]:
        """The command prefix that takes away what the container may not do."""
        words = ["/usr/bin/setpriv"]
        if self.capabilities is not None:
            words.append("--bounding-set=" + ",".join(["-all", *(f"+{name}" for name in sorted(self.capabilities))]))
        if self.no_new_privileges:
            words.append("--no-new-privs")
        return [*words, "--"] if len(words) > 1 else []


class Container:
    """A running container. `start` returns when its command is about to run; `pidfd` becomes readable when all of it has ended."""

    def __init__(self, spec: ContainerSpec, process: "subprocess.Popen[bytes]", pid: int) -> None:
        self.spec = spec
        self._process = process
        self.pid = pid  # of the container's first process, as seen from the machine
        self._killed = False
        self._first = os.pidfd_open(pid)
        self.pidfd = os.pidfd_open(process.pid)

    @classmethod
    def start(cls, spec: ContainerSpec, log: int) -> "Container":
        """Start it, its output going to the descriptor `log` of a file. Raises StartError in the words of what failed."""
        kernel = "rw" if spec.capabilities is None else "ro"
        volumes = [word for path, size in spec.volumes for word in (path, "0" if size is None else str(size))]
        volumes += [word for path, shown in spec.host_paths for word in (path, f"host:{shown}")]
        setup = ["/bin/sh", "-c", _SETUP, "sh", spec.hostname, "ro" if spec.read_only else "rw", kernel, spec.argv[0], *volumes, "--"]
        spaces = ["--mount", "--uts", "--ipc", "--propagation", "private", *([] if spec.host_pid else ["--pid", "--kill-child"])]
        enter = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "/usr/bin/nsenter", f"--net={spec.netns}", "/usr/bin/unshare", *spaces, "--"]
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = subprocess.Popen(
                    [*enter, *setup, *spec.confine(), *spec.argv],
                    env=dict(spec.environment),
                    stdin=theirs.fileno(),
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            said = ours.makefile("rb").readline().strip()
            if not said:
                code = process.wait()
                raise StartError(os.pread(log, 4096, 0).decode(errors="replace").strip() or f"exit status {code}")
            container = cls(spec, process, int(said))
            ours.sendall(b"go\n")
        return container

    def signal(self, number: signal.Signals) -> None:
        """Signal the container's first process, if it is still there."""
        try:
            signal.pidfd_send_signal(self._first, number)
        except ProcessLookupError:
            return
        self._killed = self._killed or number == signal.SIGKILL

    def reap(self) -> int:
        """Wait for its end and give the exit code, 128 + n for signal n, as container runtimes do."""
        code = self._process.wait()
        os.close(self._first)
        os.close(self.pidfd)
        if self._killed and code == 1:
            return 128 + signal.SIGKILL  # unshare of util-linux 2.38 cannot pass this one signal on, and exits 1
        return code if code >= 0 else 128 - code

    def has_program(self, name: str) -> bool:
        """Whether exec would find `name`."""
        if "/" in name:
            return os.path.lexists(f"/proc/{self.pid}/root/{name}")
        return any(os.path.lexists(f"/proc/{self.pid}/root{folder}/{name}") for folder in self.spec.environment["PATH"].split(":"))

    def enter(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` inside. It keeps running when its starter goes, and ends with the container."""
        spaces = ["--mount", *([] if self.spec.host_pid else ["--pid"]), "--uts", "--ipc", "--net"]
        return ["/usr/bin/nsenter", "--target", str(self.pid), *spaces, "--", *self.spec.confine(), *argv]
