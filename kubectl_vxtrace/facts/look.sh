# Asks this node, in one go, everything that a look at it needs, and changes nothing.
#
# Usage: look.sh local:ADDRESS... remote:ADDRESS... underlay:ADDRESS... lookup:ADDRESS...
# POSIX sh; runs under dash and busybox. It needs one writable directory for the answers, which it removes.
#
# Output: "vxtrace-look 1", one line "KEY STATUS OUT_BYTES ERR_BYTES" per question, an empty line, then the bytes of all
# answers (stdout, then stderr) in that order. Lengths, not marks, tell answers apart: no content can forge a frame.
# STATUS is the exit status or "absent" where there is no such tool or file.
set -u -f
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
patience_s=5

# now: Unix nanoseconds and the resolution. Busybox's date may not know %N; bash and jq are in netshoot.
now() {
    time=$(date +%s%N 2>/dev/null)
    case $time in
    *[!0-9]*) ;;
    ???????????????????) echo "$time 1" && return ;;
    esac
    time=$(bash -c 'echo "$EPOCHREALTIME"' 2>/dev/null)
    case $time in
    ??????????[.,]??????) echo "${time%[.,]*}${time#*[.,]}000 1000" && return ;;
    esac
    echo "$(date +%s)000000000 1000000000"
}

workplace() {
    for parent in /capture "${TMPDIR:-/tmp}" /dev/shm /run; do
        [ -d "$parent" ] && [ -w "$parent" ] || continue
        work=$parent/.vxtrace-look.$$
        mkdir -m 700 "$work" 2>/dev/null && cd "$work" && return 0
    done
    echo "no writable directory for the answers (/capture, /tmp, /dev/shm, /run)" >&2
    return 1
}

keys=''
known() { keys="$keys $1" && : >"$1.out" && : >"$1.err" && echo 0 >"$1.rc"; }

# ask KEY LIMIT_BYTES COMMAND...: starts the command in the background, bounded in time and size.
ask() {
    key=$1 limit=$2
    shift 2
    known "$key"
    command -v "$1" >/dev/null || { echo absent >"$key.rc" && echo "$1 is not installed" >"$key.err" && return; }
    { { timeout "$patience_s" "$@" 2>"$key.err" </dev/null || echo $? >"$key.rc"; } | head -c "$limit" >"$key.out"; } &
}

# file KEY PATH: the content of a file of /proc, which needs no bound in time.
file() {
    known "$1"
    if [ -r "$2" ]; then
        cat "$2" >"$1.out" 2>"$1.err" || echo $? >"$1.rc"
    else
        echo absent >"$1.rc" && echo "$2 is not there" >"$1.err"
    fi
}

same_family() {
    case $1 in *:*) case $2 in *:*) return 0 ;; *) return 1 ;; esac ;; esac
    case $2 in *:*) return 1 ;; esac
}

# Only such a name is used in a command; any other interface is reported, not asked.
plain_name() { case $1 in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.@-]* | ????????????????*) return 1 ;; esac; }

each() { for argument in "$@"; do case $argument in "$wanted":*) echo "${argument#*:}" ;; esac; done; }

# device_to ADDRESS: the device of the kernel's plain answer; empty where it refused, "lo" where the address is the node's own.
device_to() {
    while read -r line; do
        case $line in *"\"dst\":\"$1\""*) ;; *) continue ;; esac
        case $line in *'"dev":"'*) ;; *) continue ;; esac
        name=${line#*\"dev\":\"} && name=${name%%\"*}
        plain_name "$name" && echo "$name"
        return
    done <lookups.out
}

# VXLAN devices, one a line: NAME LOCAL UNDERLAY_DEVICE, "-" for what is not set.
vxlan_devices() {
    while read -r _ name rest; do
        name=${name%:} && name=${name%%@*}
        plain_name "$name" || continue
        local_address=- lower=-
        # shellcheck disable=SC2086
        set -- ${rest##*vxlan }
        while [ $# -gt 1 ]; do
            case $1 in local | local6) local_address=$2 ;; dev) lower=$2 ;; esac
            shift
        done
        plain_name "$lower" || lower=-
        echo "$name $local_address $lower"
    done <vxlan.out
}

# The second round of route questions: between local and remote addresses as a forwarded packet asks, and from the VTEP.
pair_questions() {
    for l in $locals; do
        device=$(device_to "$l")
        for r in $remotes; do
            same_family "$l" "$r" || continue
            case $device in
            '') ;;
            lo) echo "route get $r from $l" ;;
            *) echo "route get $r from $l iif $device" ;;
            esac
            while read -r name _; do echo "route get $l from $r iif $name"; done <vxlan.list
        done
    done
    while read -r _ local_address _; do
        [ "$local_address" = - ] && continue
        for u in $underlays $lookups; do
            if same_family "$local_address" "$u"; then echo "route get $u from $local_address"; fi
        done
    done <vxlan.list
}

conntrack_entries() {
    if command -v conntrack >/dev/null; then
        dump='timeout 8 conntrack -L -o extended'
    elif [ -r /proc/net/nf_conntrack ]; then
        dump='timeout 8 cat /proc/net/nf_conntrack'
    else
        known conntrack && echo absent >conntrack.rc && echo 'conntrack is not installed, /proc/net/nf_conntrack is not there' >conntrack.err
        return
    fi
    known conntrack
    set --
    for address in $locals $remotes; do set -- "$@" -e "=$address "; done
    [ $# -gt 0 ] || return
    { { $dump 2>conntrack.err </dev/null || echo $? >conntrack.rc; } | grep -F "$@" | head -c 4194304 >conntrack.out; } &
}

# Packet filters: iptables' own view (it knows comments), the legacy tables if there are any, and every other nftables table.
packet_filters() {
    known iptables
    known nft
    save=iptables-nft-save
    command -v "$save" >/dev/null || save=iptables-save
    command -v "$save" >/dev/null || { echo absent >iptables.rc && echo 'iptables-save is not installed' >iptables.err; }
    command -v nft >/dev/null || { echo absent >nft.rc && echo 'nft is not installed' >nft.err; }
    if [ -s /proc/net/ip_tables_names ]; then ask iptables-legacy 4194304 iptables-legacy-save -c; fi
    {
        if command -v "$save" >/dev/null; then
            { timeout "$patience_s" "$save" -c 2>iptables.err || echo $? >iptables.rc; } | head -c 8388608 >iptables.out
        fi
        if command -v nft >/dev/null; then other_tables | head -c 4194304 >nft.out; fi
    } &
}

# Tables of nft that iptables did not print: its own, of IPv4, it prints under the same names.
other_tables() {
    covered=' '
    while read -r word _; do case $word in '*'*) covered="$covered${word#?} " ;; esac; done <iptables.out
    timeout "$patience_s" nft list tables >nft.tables 2>nft.err || echo $? >nft.rc
    while read -r _ family name; do
        case $family/$covered in ip/*" $name "* | ip6/*" $name "*) continue ;; esac
        timeout "$patience_s" nft -j -t list table "$family" "$name" 2>>nft.err || echo $? >nft.rc
    done <nft.tables
}

# Settings as PATH:VALUE. Not by read, which takes a byte at a time: /proc/sys answers only the first.
sysctls() {
    known sysctls
    set -- net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables net/netfilter/nf_conntrack_max \
        net/netfilter/nf_conntrack_count net/netfilter/nf_conntrack_tcp_be_liberal net/ipv4/neigh/default/gc_thresh3
    for device in all default $devices; do
        for name in rp_filter forwarding accept_local; do set -- "$@" "net/ipv4/conf/$device/$name"; done
    done
    (cd /proc/sys && grep -sH '' "$@") >sysctls.out
}

add_device() {
    case $1 in '' | - | lo) return ;; esac
    case " $devices " in *" $1 "*) ;; *) devices="$devices $1" ;; esac
}

# BPF programs that may take packets away before a tap's successor: tc filters where a device has a hook for them, and tcx.
bpf_programs() {
    hooked=''
    read -r hooked <qdiscs.out 2>/dev/null
    for device in $devices; do
        case $hooked in *clsact*"\"dev\":\"$device\""* | *ingress*"\"dev\":\"$device\""*)
            ask "tc-ingress.$device" 262144 tc filter show dev "$device" ingress
            ask "tc-egress.$device" 262144 tc filter show dev "$device" egress
            ;;
        esac
    done
    ask bpf 1048576 bpftool -j net show
}

emit() {
    set --
    for key in $keys; do set -- "$@" "$key.out" "$key.err"; done
    wc -c "$@" >sizes
    echo 'vxtrace-look 1'
    for key in $keys; do
        read -r status <"$key.rc"
        read -r out_bytes _ <&3
        read -r err_bytes _ <&3
        echo "$key $status $out_bytes $err_bytes"
    done 3<sizes
    echo
    cat "$@"
}

started=$(now)
workplace || exit 3
trap 'cd / && rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM

locals=$(wanted=local && each "$@")
remotes=$(wanted=remote && each "$@")
underlays=$(wanted=underlay && each "$@")
lookups=$(wanted=lookup && each "$@")

known clock
file kernel /proc/sys/kernel/osrelease
conntrack_entries
packet_filters
ask links 2097152 ip -d -s -s -j link show
ask addresses 1048576 ip -j addr show
ask routes 2097152 ip -j route show table all
ask neighbours 2097152 ip -j neigh show
ask fdb 2097152 bridge -j fdb show
ask qdiscs 1048576 tc -j qdisc show
qdiscs=$!
ask vxlan 262144 ip -o -d link show type vxlan
vxlan=$!
for address in $locals $remotes $underlays $lookups; do echo "route get $address"; done >lookups.batch
ask lookups 1048576 ip -force -j -batch lookups.batch
wait "$!" "$vxlan"

vxlan_devices >vxlan.list
pair_questions >pairs.batch
ask pairs 1048576 ip -force -j -batch pairs.batch
known lookups-asked && cat lookups.batch >lookups-asked.out
known pairs-asked && cat pairs.batch >pairs-asked.out

devices=''
while read -r name _ lower; do add_device "$name" && add_device "$lower"; done <vxlan.list
for address in $underlays; do add_device "$(device_to "$address")"; done
for device in $devices; do
    for question in k S i; do ask "ethtool-$question.$device" 262144 ethtool "-$question" "$device"; done
done
for address in $locals; do add_device "$(device_to "$address")"; done
sysctls
for name in snmp netstat snmp6 softnet_stat; do file "$name" "/proc/net/$name"; done
file conntrack-stat /proc/net/stat/nf_conntrack
wait "$qdiscs"
bpf_programs
wait
ended=$(now)
echo "$started ${ended% *}" >clock.out
emit
