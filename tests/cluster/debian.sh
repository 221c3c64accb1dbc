#!/bin/sh
# Install the Debian packages that the cluster lacks. Go is not among them: Debian 12's (1.19) is too old to build Kubernetes with.
set -eu

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
    echo "the cluster needs Linux and root: its nodes are namespaces of this machine" >&2
    exit 1
fi

missing=""
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"
}
need containerd containerd
need ctr containerd
need runc runc
need debootstrap debootstrap
need ip iproute2
need nft nftables
need iptables iptables
need ipset ipset
need conntrack conntrack
need ethtool ethtool
need openssl openssl
need nsenter util-linux
need mount mount
need tar tar
[ -x /usr/lib/cni/host-local ] || missing="$missing containernetworking-plugins"

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing packages:$missing" >&2
        exit 1
    fi
    echo "installing:$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of package names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if ! command -v go >/dev/null 2>&1; then
    echo "no \`go\` on the PATH: install Go 1.25 or later (https://go.dev/dl); a cluster whose binaries are in the cache needs none" >&2
fi
