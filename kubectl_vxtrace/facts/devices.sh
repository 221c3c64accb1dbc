# What the look asks of interfaces, and of settings that belong to them.

# Settings as PATH:VALUE. Not by read, which takes a byte at a time: /proc/sys answers only the first.
sysctls() {
    known sysctls
    set -- net/ipv4/ip_forward net/ipv4/fib_multipath_hash_policy net/ipv4/ip_local_port_range net/ipv4/icmp_ratelimit net/ipv4/icmp_ratemask \
        net/core/netdev_max_backlog net/core/rmem_default net/core/somaxconn net/ipv4/tcp_max_syn_backlog net/ipv4/tcp_syncookies
    for name in iptables ip6tables arptables; do set -- "$@" "net/bridge/bridge-nf-call-$name"; done
    for name in filter-vlan-tagged filter-pppoe-tagged pass-vlan-input-dev; do set -- "$@" "net/bridge/bridge-nf-$name"; done
    for name in max count buckets tcp_be_liberal tcp_loose checksum tcp_timeout_established udp_timeout udp_timeout_stream; do
        set -- "$@" "net/netfilter/nf_conntrack_$name"
    done
    for name in gc_thresh1 gc_thresh2 gc_thresh3; do set -- "$@" "net/ipv4/neigh/default/$name" "net/ipv6/neigh/default/$name"; done
    for device in all default $devices; do
        for name in rp_filter forwarding accept_local src_valid_mark route_localnet proxy_arp proxy_arp_pvlan arp_ignore arp_filter log_martians; do
            set -- "$@" "net/ipv4/conf/$device/$name"
        done
        for name in forwarding disable_ipv6 proxy_ndp accept_ra; do set -- "$@" "net/ipv6/conf/$device/$name"; done
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

# Programs and filters that may take packets away before a tap's successor: tc's wherever a device has a hook for them, asked in one batch;
# at tcx and netkit; at XDP the list of links has them.
programs() {
    grep -oE '"kind":"(clsact|ingress)","handle":"[^"]*","dev":"[^"]*"' qdiscs.out | while read -r hook; do
        device=${hook##*\"dev\":\"} && device=${device%\"}
        plain_name "$device" && echo "filter show dev $device ingress" && echo "filter show dev $device egress"
    done | head -n 512 >tc.batch
    if [ -s tc.batch ]; then
        ask tc 2097152 tc -s -force -j -batch tc.batch
        known tc-asked && cat tc.batch >tc-asked.out
    fi
    ask bpf 1048576 bpftool -j net show
    tcx
}

# Peers of WireGuard devices. Never "dump" or "showconf", which print private keys.
wireguard() {
    grep -qF '"info_kind":"wireguard"' links.out || return
    for question in endpoints allowed-ips latest-handshakes transfer; do ask "wireguard-$question" 262144 wg show all "$question"; done
}

# Policies and states of IPsec. Keys stay where they are: a tool that does not know "nokeys" ends at the word, and lines of algorithms are
# not kept.
ipsec() {
    ask xfrm-states 4096 ip xfrm state count
    ask xfrm-policies 4096 ip xfrm policy count
    ask xfrm-policy 1048576 ip -s xfrm policy list
    ask xfrm-state 1048576 ip -s xfrm state list nokeys
    grep -vE '^[[:space:]]*(enc|auth|auth-trunc|aead|comp)[[:space:]]' xfrm-state.out >cut
    cat cut >xfrm-state.out
}

time_sync() {
    if command -v adjtimex >/dev/null || ! command -v busybox >/dev/null; then ask adjtimex 4096 adjtimex; else ask adjtimex 4096 busybox adjtimex; fi
}
