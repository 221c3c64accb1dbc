# What the look asks inside pods' own network namespaces, of which the kernel tells nobody outside: counters, sockets, packet filters.

# Files that lead into namespaces, where containerd and CRI-O make them; a debug pod that may enter them has the folder.
spaces=/var/run/netns
# Each takes a moment of the look (30 ms of a processor), which is bounded as a whole.
most_spaces=16

# Each namespace that pod-namespaces told of, by its number there.
pod_facts() {
    [ -s pod-namespaces.out ] || return
    ask namespace-names 1048576 ip netns list
    inside=0
    while read -r name word number _; do
        number=${number%)}
        case $word$number in '(id:'*[!0-9]* | '(id:' | '(id:'???????*) continue ;; '(id:'*) ;; *) continue ;; esac
        case $name in '' | -* | .* | *[!A-Za-z0-9_.@-]*) continue ;; esac
        grep -q "^$number " pod-namespaces.out || continue
        case " $keys " in *" pod-counters.$number "*) continue ;; esac
        inside=$((inside + 1))
        [ "$inside" -gt "$most_spaces" ] || inside_pod "$number" "--net=$spaces/$name"
    done <namespace-names.out
    unseen_pods
}

# inside_pod NUMBER OPTION: what is asked in one namespace, which nsenter enters by that option.
inside_pod() {
    ask "pod-counters.$1" 65536 nsenter "$2" cat /proc/net/snmp /proc/net/netstat
    ask "pod-snmp6.$1" 65536 nsenter "$2" cat /proc/net/snmp6
    ask "pod-listeners.$1" 262144 nsenter "$2" ss -H -l -t -n -m
    ask "pod-udp.$1" 262144 nsenter "$2" cat /proc/net/udp
    ask "pod-udp6.$1" 262144 nsenter "$2" cat /proc/net/udp6
    # By the tools that the node's own were asked by.
    ask "pod-iptables.$1" 1048576 nsenter "$2" "$save" -c
    if nsenter "$2" cat /proc/net/ip_tables_names 2>/dev/null | grep -qs .; then
        ask "pod-iptables-legacy.$1" 1048576 nsenter "$2" iptables-legacy-save -c
    fi
    [ -z "${save6:-}" ] || ask "pod-ip6tables.$1" 1048576 nsenter "$2" "$save6" -c
    ask "pod-nft.$1" 1048576 nsenter "$2" nft -j -t list ruleset
}

# What is known of from outside alone.
unseen_pods() {
    while read -r number _; do
        case $number in '' | *[!0-9]* | ???????*) continue ;; esac
        case " $keys " in *" pod-counters.$number "*) continue ;; esac
        if [ "$inside" -gt "$most_spaces" ]; then
            missing "pod-counters.$number" "only $most_spaces pods of a node are looked into"
        elif [ -d "$spaces" ]; then
            missing "pod-counters.$number" "no file in $spaces leads into its network namespace"
        else
            missing "pod-counters.$number" "the debug pod has no $spaces"
        fi
    done <pod-namespaces.out
}
