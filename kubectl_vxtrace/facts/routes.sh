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
