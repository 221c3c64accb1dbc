# What the look asks of the routing tables: questions for `ip -batch`, one a line.

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

# VXLAN devices, one a line: NAME LOCAL UNDERLAY_DEVICE PORT, "-" for what is not set.
vxlan_devices() {
    while read -r _ name rest; do
        name=${name%:} && name=${name%%@*}
        plain_name "$name" || continue
        local_address=- lower=- port=-
        # shellcheck disable=SC2086
        set -- ${rest##*vxlan }
        while [ $# -gt 1 ]; do
            case $1 in local | local6) local_address=$2 ;; dev) lower=$2 ;; dstport) port=$2 ;; esac
            shift
        done
        plain_name "$lower" || lower=-
        case $port in *[!0-9]*) port=- ;; esac
        echo "$name $local_address $lower $port"
    done <vxlan.out
}

# The second round of route questions: between local and remote addresses as a forwarded packet asks, and from the VTEP. Where a pod's
# packets for a Service or another asked address end on its own node, the answer's type is "local".
pair_questions() {
    for l in $locals; do
        device=$(device_to "$l")
        for r in $services $lookups; do
            if same_family "$l" "$r"; then case $device in '' | lo) ;; *) echo "route get $r from $l iif $device" ;; esac; fi
        done
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

# Marks that routing rules look at, four at most.
marks() {
    marked=''
    for family in rules rules6; do
        rest=''
        read -r rest <"$family.out" 2>/dev/null
        while :; do
            case $rest in *'"fwmark":"0x'*) ;; *) break ;; esac
            rest=${rest#*'"fwmark":"'} && mark=${rest%%\"*}
            case ${mark#0x} in '' | *[!0-9a-f]* | ?????????*) continue ;; esac
            case " $marked " in *" $mark "*) ;; *) marked="$marked $mark" ;; esac
            case $marked in *' '*' '*' '*' '*) break 2 ;; esac
        done
    done
    echo "$marked"
}

# What a VXLAN device asks for an outer packet to another node (vxlan_xmit_one in drivers/net/vxlan/vxlan_core.c): from its own address, by
# its lower device, UDP to its port, and with the inner packet's mark.
outer_questions() {
    found=$(marks)
    while read -r _ local_address lower port; do
        for u in $underlays $lookups; do
            question="route get $u"
            if [ "$local_address" != - ]; then
                same_family "$local_address" "$u" || continue
                question="$question from $local_address"
            fi
            [ "$lower" = - ] || question="$question oif $lower"
            [ "$port" = - ] || question="$question ipproto udp dport $port"
            echo "$question"
            for mark in $found; do echo "$question mark $mark"; done
        done
    done <vxlan.list
}

# batch KEY: the answers to a file of route questions, and the questions, since answers do not repeat them.
batch() {
    ask "$1" 1048576 ip -force -j -batch "$1.batch"
    known "$1-asked" && cat "$1.batch" >"$1-asked.out"
}
