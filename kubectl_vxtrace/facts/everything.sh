# All questions of a look, in their order, and its end.

everything() {
    for name in snmp netstat snmp6 softnet_stat xfrm_stat; do file "$name" "/proc/net/$name" 262144; done
    # Kernels built without that file tell the tool.
    if [ -r /proc/net/stat/nf_conntrack ]; then file conntrack-stat /proc/net/stat/nf_conntrack 1048576; else ask conntrack-stat 1048576 conntrack -S; fi
    for name in arp_cache ndisc_cache rt_cache; do file "$name" "/proc/net/stat/$name" 1048576; done
    ask vxlan 262144 ip -o -d link show type vxlan
    vxlan_devices >vxlan.list
    packet_filters
    ask links 4194304 ip -d -s -s -j link show
    ask qdiscs 1048576 tc -s -j qdisc show
    file udp /proc/net/udp 1048576
    file udp6 /proc/net/udp6 1048576
    ask listeners 1048576 ss -H -l -t -n
    conntrack_entries
    ask neighbours 4194304 ip -s -j neigh show
    ask proxies 262144 ip -j neigh show proxy
    ask fdb 2097152 bridge -j fdb show
    ask addresses 1048576 ip -j addr show
    ask routes 2097152 ip -j route show table all
    ask rules 262144 ip -j rule show
    ask rules6 262144 ip -6 -j rule show
    ask exceptions 1048576 ip -j route show cache
    ask exceptions6 1048576 ip -6 -j route show cache
    for address in $locals $remotes $underlays $services $lookups; do echo "route get $address"; done >lookups.batch
    batch lookups
    # They count packets, too, and which namespaces to look into depends on the answers before.
    pod_namespaces
    pod_facts
    pair_questions >pairs.batch
    batch pairs
    # Tools of before 2018 know no "ipproto" and end at the first of them, hence batches of their own.
    tuple_questions >tuples.batch
    [ ! -s tuples.batch ] || batch tuples
    outer_questions >outer.batch
    [ ! -s outer.batch ] || batch outer

    devices=''
    while read -r name _ lower _; do add_device "$name" && add_device "$lower"; done <vxlan.list
    for address in $underlays; do add_device "$(device_to "$address")"; done
    add_parts
    for device in $devices; do
        for question in S k i g; do ask "ethtool-$question.$device" 262144 ethtool "-$question" "$device"; done
    done
    for address in $locals; do add_device "$(device_to "$address")"; done
    sysctls
    programs
    ipvs
    wireguard
    ipsec
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
services=$(wanted=service && each "$@")
lookups=$(wanted=lookup && each "$@")
tuples=$(wanted=tuple && each "$@")

known clock
if [ "$(wanted=only && each "$@")" = conntrack ]; then conntrack_entries; else everything; fi
ended=$(now)
echo "$started ${ended% *}" >clock.out
emit
