# What the look asks of connections, packet filters and IPVS.

# Connections that name an end of the flow, from a table that may be long.
conntrack_entries() {
    set --
    for address in $locals $remotes $services $lookups; do set -- "$@" -e "=$address "; done
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
    file nfqueue /proc/net/netfilter/nfnetlink_queue 65536
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
    number=0 has_sets='' has_maps=''
    while read -r _ family name; do
        case $family/$covered in ip/*" $name "* | ip6/*" $name "*) continue ;; esac
        number=$((number + 1)) key=nft-table.$number most=4194304
        # kube-proxy's has a chain for each Service and for each of its endpoints.
        case $name in kube-proxy) key=nft-proxy.$number most=16777216 ;; esac
        [ "$number" -le 30 ] && ask "$key" "$most" nft -j -t list table "$family" "$name"
        if grep -qsF '{"set":' "$key.out"; then has_sets=yes; fi
        if grep -qsF '{"map":' "$key.out"; then has_maps=yes; fi
    done <nft.out
    if [ -n "$has_sets" ]; then ask nft-sets 4194304 nft -j list sets; fi
    if [ -n "$has_maps" ]; then ask nft-maps 8388608 nft -j list maps; fi
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
