# Captures of one node, for a root shell there. It needs tcpdump, ip and tar, and changes nothing but a folder of its own below /tmp.
set -u
umask 077

# The device that leads to an address.
device_to() { ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1; }

is_bridge() { [ -n "$1" ] && [ -d "/sys/class/net/$1/bridge" ]; }

# The host's end of a pod's own interface: where the route to the pod leads, and behind a bridge the port with the pod's MAC.
pod_interface() {
    device=$(device_to "$1")
    if ! is_bridge "$device"; then
        echo "$device"
        return
    fi
    mac=$(ip neigh show "$1" dev "$device" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p' | head -n 1)
    [ -z "$mac" ] || bridge fdb show br "$device" | sed -n "s/^$mac dev \([^ ]*\) .*/\1/p" | head -n 1
}

bridge_interface() {
    device=$(device_to "$1")
    is_bridge "$device" && echo "$device"
}

vxlan_interface() { ip -o link show type vxlan | sed -n 's/^[0-9]*: \([^:@]*\).*/\1/p' | head -n 1; }

# Begins one capture: what it is of, its file, its interface, then tcpdump's command. It ends by itself if this shell is killed.
start() {
    what=$1 file=$2 interface=$3
    shift 3
    if [ -z "$interface" ]; then
        echo "not captured, as its interface was not found: $what" >&2
        return
    fi
    if [ -e "$file" ]; then file=${file%.pcap}-$interface.pcap; fi
    for word; do
        shift
        case $word in
        INTERFACE) word=$interface ;;
        FILE) word=$file ;;
        esac
        set -- "$@" "$word"
    done
    : >"$file"
    timeout "$((seconds + 60))" "$@" 2>"${file%.pcap}.txt" &
    echo $! >"${file%.pcap}.pid"
    echo "$interface -> $file" >&2
}

# Whether a capture runs, which is known by its file's name without .pcap.
runs() { kill -0 "$(cat "$1.pid")" 2>/dev/null; }

listens() { grep -q 'listening on' "$1.txt"; }

# look TEST: mark the captures that do not pass it as none that ran all the time.
look() {
    for each in *.pid; do
        # Ctrl-C ends what the test runs, too.
        "$1" "${each%.pid}" || [ -n "$interrupted" ] || : >"${each%.pid}.short"
    done
}

# Waits up to 5 s until all captures have begun, then for their time or Ctrl-C; ends them together, packs them, and says where they are.
# capture-times.txt gets for each: packets dropped by the kernel, since when all captures ran, until when this one did (both in this node's
# Unix nanoseconds, "-" for what is not known), its file.
finish() {
    set -- *.pid
    [ -e "$1" ] || { echo "nothing could be captured" >&2; exit 1; }
    interrupted=
    trap 'interrupted=yes' INT
    turns=0
    for each; do
        until listens "${each%.pid}" || ! runs "${each%.pid}" || [ "$turns" -ge 250 ]; do
            pause
            turns=$((turns + 1))
        done
    done
    look listens
    started=$(now)
    until=$((started + seconds * 1000000000))
    echo "capturing for $seconds s; Ctrl-C ends it earlier" >&2
    while [ -z "$interrupted" ] && [ "$(now)" -lt "$until" ]; do
        sleep 0.2 2>/dev/null || sleep 1
        [ -n "$interrupted" ] || look runs
    done
    stopped=$(now)
    for each; do kill "$(cat "$each")" 2>/dev/null; done
    wait
    cat -- *.txt >&2
    for each; do
        capture=${each%.pid} ended=$stopped
        if [ -e "$capture.short" ]; then ended=-; fi
        dropped=$(sed -n 's/^\([0-9]*\) packets* dropped by kernel.*/\1/p' "$capture.txt")
        echo "${dropped:--} $started $ended $capture.pcap"
    done >capture-times.txt
    rm -f -- *.pid *.short
    archive=/tmp/vxtrace-$node-$(date -u +%Y%m%dT%H%M%SZ).tgz
    tar -C "$folder" -czf "$archive" . && rm -r "$folder" && echo "$archive"
}

command -v tcpdump >/dev/null || { echo "there is no tcpdump here" >&2; exit 1; }
folder=$(mktemp -d /tmp/vxtrace-XXXXXX) && cd "$folder" || exit 1
