#!/bin/sh
# Install the Debian packages that are missing: `debian.sh venv` for the virtual environment, `debian.sh lab` for the lab.
set -eu

missing=""
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"
}

case "${1:-}" in
venv)
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    ;;
lab)
    if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
        cat >&2 <<'EOF'
The lab needs Linux and root: it makes network namespaces. Without them these work:
  make check                              unit tests
  .venv/bin/kubectl-vxtrace analyze ...   a bundle, or captures recorded by hand
and on a cluster of your own:
  .venv/bin/kubectl-vxtrace pod NAMESPACE/NAME --to SERVICE
EOF
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
    ;;
*)
    echo "usage: debian.sh venv|lab" >&2
    exit 2
    ;;
esac

[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "missing packages:$missing; install them (as root on Debian: apt-get install$missing)" >&2
    exit 1
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
