# Asks this node, in one go, everything that a look at it needs, and changes nothing.
#
# Usage: look.sh local:ADDRESS... remote:ADDRESS... underlay:ADDRESS... lookup:ADDRESS... tuple:PROTOCOL,PORT,ADDRESS... [only:conntrack]
# With only:conntrack it asks for connections alone.
# POSIX sh; runs under dash and busybox. It needs one writable directory for the answers, which it removes.
# Questions are put one after the other, at low priority: a node in trouble sees one process of ours at a time. What counts packets
# comes first, while the capture that it is compared with has just begun or ended.
#
# Output: "vxtrace-look 1", one line "KEY STATUS OUT_BYTES ERR_BYTES" per question, an empty line, then the bytes of all
# answers (stdout, then stderr) in that order. Lengths, not marks, tell answers apart: no content can forge a frame.
# STATUS is the exit status or "absent" where there is no such tool or file.
set -u -f
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
patience_s=5
strikes=0
renice -n 10 -p "$$" >/dev/null 2>&1
# Nothing that a tool writes grows beyond 32 MiB (blocks of 512 bytes).
ulimit -f 65536

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

# missing KEY WHY: the answer to KEY is that there is none.
missing() { known "$1" && echo absent >"$1.rc" && echo "$2" >"$1.err"; }

# ask KEY LIMIT_BYTES COMMAND...: runs the command, bounded in time and size. A node where one tool hangs gets less patience,
# and where three have hung no more questions.
ask() {
    key=$1 limit=$2
    shift 2
    command -v "$1" >/dev/null || { missing "$key" "$1 is not installed" && return; }
    [ "$strikes" -lt 3 ] || { missing "$key" 'not asked: three questions before had no answer in time' && return; }
    known "$key"
    { timeout -s KILL "$patience_s" "$@" 2>"$key.err" </dev/null || echo $? >"$key.rc"; } | head -c "$limit" >"$key.out"
    read -r status <"$key.rc"
    case $status in 124 | 137 | 143) strikes=$((strikes + 1)) patience_s=2 ;; esac
}

# file KEY PATH LIMIT_BYTES: the beginning of a file of /proc, which needs no bound in time.
file() {
    known "$1"
    if [ -r "$2" ]; then
        head -c "$3" "$2" >"$1.out" 2>"$1.err" || echo $? >"$1.rc"
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

# The flow's own tuple, where a rule may look at protocol and port; an old kernel or tool refuses, and that is all.
tuple_questions() {
    for tuple in $tuples; do
        protocol=${tuple%%,*} && port=${tuple#*,} && r=${port#*,} && port=${port%%,*}
        for l in $locals; do
            same_family "$l" "$r" || continue
            device=$(device_to "$l")
            case $device in
            '') ;;
            lo) echo "route get $r from $l ipproto $protocol dport $port" ;;
            *) echo "route get $r from $l iif $device ipproto $protocol dport $port" ;;
            esac
        done
    done
}

# Connections that name an end of the flow, from a table that may be long.
conntrack_entries() {
    set --
    for address in $locals $remotes $lookups; do set -- "$@" -e "=$address "; done
    if [ $# -eq 0 ]; then
        known conntrack
    elif command -v conntrack >/dev/null; then
        known conntrack
        { timeout -s KILL 8 conntrack -L -o extended 2>conntrack.err </dev/null || echo $? >conntrack.rc; } | grep -F "$@" | head -c 4194304 >conntrack.out
    elif [ -r /proc/net/nf_conntrack ]; then
        known conntrack
        grep -F "$@" /proc/net/nf_conntrack 2>conntrack.err | head -c 4194304 >conntrack.out
    else
        missing conntrack 'conntrack is not installed, /proc/net/nf_conntrack is not there'
    fi
}

# Packet filters: iptables' own view (it knows comments), the legacy tables if there are any, those of IPv6 where the flow's packets or
# the outer ones are such (elsewhere their counters would only confuse), and every other nftables table.
packet_filters() {
    save=iptables-nft-save
    command -v "$save" >/dev/null || save=iptables-save
    ask iptables 16777216 "$save" -c
    if grep -qs . /proc/net/ip_tables_names; then ask iptables-legacy 4194304 iptables-legacy-save -c; fi
    case "$locals $remotes$(outer_family)" in
    *:*)
        save6=ip6tables-nft-save
        command -v "$save6" >/dev/null || save6=ip6tables-save
        ask ip6tables 16777216 "$save6" -c
        if grep -qs . /proc/net/ip6_tables_names; then ask ip6tables-legacy 4194304 ip6tables-legacy-save -c; fi
        ;;
    esac
    other_tables
    if grep -qs match-set iptables.out iptables-legacy.out ip6tables.out ip6tables-legacy.out; then ask ipset 4194304 ipset list; fi
}

# outer_family: a colon where VXLAN devices send over IPv6 alone.
outer_family() {
    while read -r _ local_address _; do
        case $local_address in *:*) family=: ;; -) ;; *) return ;; esac
    done <vxlan.list
    echo "${family:-}"
}

# Tables of nft that iptables did not print: its own it prints under the same names. Each is an answer of its own, so that one
# that is too long hides no other; what is in their sets is asked for by itself, for the same reason.
other_tables() {
    covered=' '
    while read -r word _; do case $word in '*'*) covered="$covered${word#?} " ;; esac; done <iptables.out
    ask nft 65536 nft list tables
    number=0 has_sets=''
    while read -r _ family name; do
        case $family/$covered in ip/*" $name "* | ip6/*" $name "*) continue ;; esac
        number=$((number + 1))
        [ "$number" -le 30 ] && ask "nft-table.$number" 4194304 nft -j -t list table "$family" "$name"
        if grep -qsF '{"set":' "nft-table.$number.out"; then has_sets=yes; fi
    done <nft.out
    if [ -n "$has_sets" ]; then ask nft-sets 4194304 nft -j list sets; fi
}

# Settings as PATH:VALUE. Not by read, which takes a byte at a time: /proc/sys answers only the first.
sysctls() {
    known sysctls
    set -- net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables net/bridge/bridge-nf-call-ip6tables \
        net/ipv4/fib_multipath_hash_policy net/ipv4/ip_local_port_range net/core/netdev_max_backlog net/core/rmem_default
    for name in max count buckets tcp_be_liberal udp_timeout udp_timeout_stream; do set -- "$@" "net/netfilter/nf_conntrack_$name"; done
    for name in gc_thresh1 gc_thresh2 gc_thresh3; do set -- "$@" "net/ipv4/neigh/default/$name" "net/ipv6/neigh/default/$name"; done
    for device in all default $devices; do
        for name in rp_filter forwarding accept_local src_valid_mark; do set -- "$@" "net/ipv4/conf/$device/$name"; done
        set -- "$@" "net/ipv6/conf/$device/forwarding"
    done
    (cd /proc/sys && grep -sH '' "$@") >sysctls.out
}

add_device() {
    case $1 in '' | - | lo) return ;; esac
    case " $devices " in *" $1 "*) ;; *) devices="$devices $1" ;; esac
}

# What a device stands on, and what it is made of: the parent of a VLAN, the slaves of a bond.
add_parts() {
    grep -qF '"info_kind":"vlan"' links.out && ask vlans 262144 ip -o link show type vlan
    for device in $devices; do
        [ -e vlans.out ] && add_interfaces "$device" <vlans.out
        grep -qF "\"master\":\"$device\"" links.out || continue
        ask "slaves.$device" 65536 ip -o link show master "$device"
        add_interfaces '' <"slaves.$device.out"
    done
}

# Lines of "ip -o link": the parents of the interface NAME, or with '' the interfaces themselves.
add_interfaces() {
    while read -r _ part _; do
        part=${part%:}
        case $1 in
        '') part=${part%%@*} ;;
        "${part%%@*}") part=${part#*@} ;;
        *) continue ;;
        esac
        plain_name "$part" && add_device "$part"
    done
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

# An IPv4 address as /proc/net/ip_vs_conn writes it.
in_hex() {
    before=$IFS
    IFS=.
    # shellcheck disable=SC2086
    set -- $1
    IFS=$before
    printf '%02X%02X%02X%02X' "$@"
}

# IPVS, where there is any. Its connections may be many: those of an IPv4 end of the flow.
ipvs() {
    [ -r /proc/net/ip_vs ] || return
    file ipvs /proc/net/ip_vs 2097152
    set --
    for address in $locals $remotes; do case $address in *:*) ;; *) set -- "$@" -e "$(in_hex "$address")" ;; esac; done
    [ $# -gt 0 ] || return
    known ipvs-connections
    grep -F "$@" /proc/net/ip_vs_conn 2>ipvs-connections.err | head -c 1048576 >ipvs-connections.out
}

# Peers of WireGuard devices. Never "dump" or "showconf", which print private keys.
wireguard() {
    grep -qF '"info_kind":"wireguard"' links.out || return
    for question in endpoints allowed-ips latest-handshakes transfer; do ask "wireguard-$question" 262144 wg show all "$question"; done
}

time_sync() {
    if command -v adjtimex >/dev/null || ! command -v busybox >/dev/null; then ask adjtimex 4096 adjtimex; else ask adjtimex 4096 busybox adjtimex; fi
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
        # A complaint is a line; what is more than that is not kept.
        if [ "$err_bytes" -gt 65536 ]; then head -c 65536 "$key.err" >cut && cat cut >"$key.err" && err_bytes=65536; fi
        echo "$key $status $out_bytes $err_bytes"
    done 3<sizes
    echo
    cat "$@"
}

everything() {
    for name in snmp netstat snmp6 softnet_stat xfrm_stat; do file "$name" "/proc/net/$name" 262144; done
    file conntrack-stat /proc/net/stat/nf_conntrack 1048576
    for name in arp_cache ndisc_cache; do file "$name" "/proc/net/stat/$name" 1048576; done
    ask vxlan 262144 ip -o -d link show type vxlan
    vxlan_devices >vxlan.list
    packet_filters
    ask links 4194304 ip -d -s -s -j link show
    ask qdiscs 1048576 tc -s -j qdisc show
    file udp /proc/net/udp 1048576
    file udp6 /proc/net/udp6 1048576
    conntrack_entries
    ask neighbours 2097152 ip -j neigh show
    ask fdb 2097152 bridge -j fdb show
    ask addresses 1048576 ip -j addr show
    ask routes 2097152 ip -j route show table all
    ask rules 262144 ip -j rule show
    ask rules6 262144 ip -6 -j rule show
    ask exceptions 1048576 ip -j route show cache
    ask exceptions6 1048576 ip -6 -j route show cache
    for address in $locals $remotes $underlays $lookups; do echo "route get $address"; done >lookups.batch
    ask lookups 1048576 ip -force -j -batch lookups.batch

    pair_questions >pairs.batch
    ask pairs 1048576 ip -force -j -batch pairs.batch
    tuple_questions >tuples.batch
    if [ -s tuples.batch ]; then
        ask tuples 1048576 ip -force -j -batch tuples.batch
        known tuples-asked && cat tuples.batch >tuples-asked.out
    fi
    known lookups-asked && cat lookups.batch >lookups-asked.out
    known pairs-asked && cat pairs.batch >pairs-asked.out

    devices=''
    while read -r name _ lower; do add_device "$name" && add_device "$lower"; done <vxlan.list
    for address in $underlays; do add_device "$(device_to "$address")"; done
    add_parts
    for device in $devices; do
        for question in S k i g; do ask "ethtool-$question.$device" 262144 ethtool "-$question" "$device"; done
    done
    for address in $locals; do add_device "$(device_to "$address")"; done
    sysctls
    bpf_programs
    ipvs
    wireguard
    ask xfrm-states 4096 ip xfrm state count
    ask xfrm-policies 4096 ip xfrm policy count
    time_sync
    file kernel /proc/sys/kernel/osrelease 4096
}

started=$(now)
workplace || exit 3
trap 'cd / && rm -rf "$work"' EXIT
trap 'exit 143' HUP INT TERM

locals=$(wanted=local && each "$@")
remotes=$(wanted=remote && each "$@")
underlays=$(wanted=underlay && each "$@")
lookups=$(wanted=lookup && each "$@")
tuples=$(wanted=tuple && each "$@")

known clock
if [ "$(wanted=only && each "$@")" = conntrack ]; then conntrack_entries; else everything; fi
ended=$(now)
echo "$started ${ended% *}" >clock.out
emit
