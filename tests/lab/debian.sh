#!/bin/sh
# Install the Debian packages that are missing: `debian.sh venv` for the virtual environment, `debian.sh lab` for the lab, `debian.sh krew`
# for the packed plugin, `debian.sh standalone` for the one that is packed in an older Debian. PYTHON names the interpreter (python3).
set -eu

python=${PYTHON:-python3}
missing=""
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"
}

case "${1:-}" in
venv)
    if ! command -v "$python" >/dev/null 2>&1; then
        missing="python3 python3-venv"
    elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "$python is $("$python" -V); Python 3.11 or later is needed. Is there another one? make PYTHON=python3.12 ..." >&2
        exit 1
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing=python3-venv
    fi
    ;;
lab)
    if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
        cat >&2 <<'EOM'
The lab needs Linux and root: it makes network namespaces. Without them these work:
  make check                              unit tests, types, style
  make setup                              and then
  .venv/bin/kubectl-vxtrace analyze ...   a bundle, or captures recorded by hand
  .venv/bin/kubectl-vxtrace pod NAMESPACE/NAME --to SERVICE       on a cluster of your own
EOM
        exit 1
    fi
    need tcpdump tcpdump
    need tshark tshark
    need ip iproute2
    need nft nftables
    need iptables iptables
    need dnsmasq dnsmasq-base
    need ethtool ethtool
    need conntrack conntrack
    need busybox busybox
    need openssl openssl
    need nsenter util-linux
    need ping iputils-ping
    need sysctl procps
    need strace strace
    ;;
krew)
    [ "$(uname -s)" = Linux ] || exit 0
    need objdump binutils
    # Debian's python3 has its library linked in; what is packed is the shared one.
    library=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("INSTSONAME"))')
    case $library in
    *.so*) "$python" -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || missing="$missing ${library%%.so*}" ;;
    esac
    ;;
standalone)
    need debootstrap debootstrap
    need objdump binutils
    need unshare util-linux
    ;;
*)
    echo "usage: debian.sh venv|lab|krew|standalone" >&2
    exit 2
    ;;
esac

missing=${missing# }
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "missing packages: $missing. As root on Debian: apt-get install $missing" >&2
    exit 1
fi
echo "installing: $missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
