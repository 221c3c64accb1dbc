# The kernel's own log of the packets that it drops, with its reasons, for the time of a capture: the tracepoint skb:kfree_skb in a
# trace instance of our own.
#
# Usage: unshare -m sh -c THIS vxtrace-droplog start|stop DIRECTORY NAME LIMIT_S
# It runs in a mount namespace of its own: where tracefs is not mounted it mounts it there, and nobody else sees that. DIRECTORY/.finish is a
# script that takes the instance away, which the pod's first process runs at its end. Who had no such end left an instance
# whose name ends with the second since 1970 after which anybody removes it.
# Output: "vxtrace-droplog 1 ok", or "vxtrace-droplog 1 absent WHY"; of stop the log follows.
# Two lines "vxtrace-clock NS" in the log, at its start and at its end, tie its clock to Unix time: each was read before it was written.
set -u
name=$3 limit_s=$4
traces=/sys/kernel/tracing
cd "$2" || exit 3
renice -n 10 -p "$$" >/dev/null 2>&1

absent() { echo "vxtrace-droplog 1 absent $1" && exit 0; }

# remove INSTANCE: a reader that has just ended may still hold it.
remove() {
    turns=25
    echo 0 2>/dev/null >"$1/tracing_on"
    echo 0 2>/dev/null >"$1/events/skb/kfree_skb/enable"
    while [ -d "$1" ] && ! rmdir "$1" 2>/dev/null && [ "$turns" -gt 0 ]; do
        pause
        turns=$((turns - 1))
    done
}

sweep() {
    for left in "$traces"/instances/vxtrace-*; do
        case ${left##*-} in '' | *[!0-9]*) continue ;; esac
        if [ "${left##*-}" -lt "$1" ]; then remove "$left"; fi
    done
}

# without NAME...: what is no loss on a packet's way, by the numbers that this kernel gives those reasons.
without() {
    while IFS= read -r line; do case $line in 'print fmt:'*) break ;; esac; done <"$event/format"
    for reason in "$@"; do
        case $line in *", \"$reason\" }"*) ;; *) continue ;; esac
        number=${line%%", \"$reason\" }"*} && number=${number##*"{ "}
        case $number in '' | *[!0-9]*) ;; *) printf ' && reason != %s' "$number" ;; esac
    done
}

# places: of drops without a word, which some kernels count by the thousand, those in functions where the place tells what happened: a queue
# that nobody reads, a route that refuses, a port that a bridge must not use, a VXLAN device of a kernel that has no words for it.
places() {
    grep -E ' [tT] (nf_queue|ip_error|br_handle_frame_finish|br_forward|__br_forward|vxlan_rcv|vxlan_xmit|vxlan_xmit_one)([[:space:]]|$)' \
        /proc/kallsyms | while read -r _ _ name _; do printf ' || location.function == %s ' "$name"; done
}

# filter: sets the tracepoint's. Kernels before 6.5 know no functions in filters, and then nothing without a word is logged.
filter() {
    wanted="(protocol == 2048 || protocol == 34525 || protocol == 2054)$(without SOCKET_CLOSE SOCKET_FILTER UNIX_DISCONNECT UNIX_SKIP_OOB \
        TCP_OFOMERGE TCP_OLD_DATA TCP_OLD_ACK QUEUE_PURGE PACKET_SOCK_ERROR TAP_FILTER TAP_TXFILTER)"
    unsaid=$(without NOT_SPECIFIED)
    [ -n "$unsaid" ] || { echo "$wanted" >"$event/filter" && return; }
    { echo "$wanted && (${unsaid# && }$(places) )" >"$event/filter"; } 2>/dev/null || echo "$wanted$unsaid" >"$event/filter"
}

# has_symbols: whether functions can be told by their addresses; to a user who may not read those they are zeros.
has_symbols() {
    command -v awk >/dev/null || return 1
    address=0
    read -r address _ </proc/kallsyms
    case $address in *[!0]*) ;; *) return 1 ;; esac
} 2>/dev/null

# named LOG: the log with the functions that lie at its locations instead of their addresses, twelve at most, and no other address of the
# kernel; a log of names as it is.
named() {
    if ! grep -qE 'location=[0-9a-f]{16} ' "$1" || ! has_symbols; then
        cat "$1"
        return
    fi
    awk '
        FILENAME != "/proc/kallsyms" && !ready {
            if (match($0, /location=[0-9a-f]+ /)) {
                place = substr($0, RSTART + 9, RLENGTH - 10)
                if (length(place) == 16 && !(place in best) && count < 12) { best[place] = ""; count++ }
            }
            next
        }
        FILENAME == "/proc/kallsyms" {
            ready = 1
            if ($2 ~ /[tTwW]/) for (place in best) if ($1 <= place && $1 > best[place]) { best[place] = $1; name[place] = $3 $4 }
            next
        }
        {
            if (match($0, /location=[0-9a-f]+ /)) {
                place = substr($0, RSTART + 9, RLENGTH - 10)
                told = place in name ? name[place] : "unknown"
                sub(/\[/, " [", told)
                $0 = substr($0, 1, RSTART + 8) told substr($0, RSTART + RLENGTH - 1)
            }
            gsub(/(skbaddr|rx_sk)=[0-9a-f]*[1-9a-f][0-9a-f]*/, "&#")
            gsub(/=[0-9a-f]+#/, "=1")
            print
        }' "$1" /proc/kallsyms "$1"
}

mark() { echo "vxtrace-clock $(now)" >"$instance/trace_marker"; }

# Both may be asked again, as their answers may have been lost.
start() {
    if [ -s .drops ] && read -r instance <.drops && [ -d "$instance" ]; then echo 'vxtrace-droplog 1 ok' && return; fi
    seconds=$(date +%s)
    sweep "$seconds"
    instance=$traces/instances/$name-$((seconds + limit_s))
    event=$instance/events/skb/kfree_skb
    cat >.finish <<END
timeout 4 unshare -m sh -c '[ -d $traces/instances ] || mount -n -t tracefs tracefs $traces || exit
cd $instance || exit
echo 0 >tracing_on
echo 0 >events/skb/kfree_skb/enable
cd $traces/instances
turns=25
while ! rmdir $instance && [ \$turns -gt 0 ]; do sleep 0.02; turns=\$((turns - 1)); done'
END
    mkdir "$instance" 2>.drops.err || absent "no trace instance: $(head -n 1 .drops.err)"
    echo "$instance" >.drops
    trap 'remove "$instance"' EXIT
    [ -e "$event/format" ] || absent 'this kernel has no tracepoint skb:kfree_skb'
    grep -q '"NETFILTER_DROP"' "$event/format" || absent 'this kernel does not name reasons of drops'
    set -- "$instance"/per_cpu/cpu*
    size_kb=$((8192 / $#))
    [ "$size_kb" -gt 64 ] || size_kb=64
    [ "$size_kb" -lt 1024 ] || size_kb=1024
    # Where locations are addresses, they are hashed unless they can be told as functions before anybody sees them.
    if grep -q 'location=%p ' "$event/format" && has_symbols; then echo 0 2>/dev/null >"$instance/options/hash-ptr"; fi
    {
        echo "$size_kb" >"$instance/buffer_size_kb"
        echo mono >"$instance/trace_clock"
        filter
        echo 1 >"$event/enable"
    } 2>.drops.err
    [ -s .drops.err ] && absent "the tracepoint cannot be used: $(head -n 1 .drops.err)"
    mark && mark
    trap - EXIT
    echo 'vxtrace-droplog 1 ok'
}

stop() {
    if [ -s .drops.said ]; then cat .drops.said && return; fi
    [ -s .drops ] || absent 'it was never started'
    read -r instance <.drops
    [ -d "$instance" ] || absent 'the trace instance is gone'
    trap 'remove "$instance" && rm -f .drops .drops.log .finish' EXIT
    mark && mark
    echo 0 >"$instance/tracing_on"
    head -c 4194304 "$instance/trace" >.drops.log
    if { echo 'vxtrace-droplog 1 ok' && named .drops.log; } >.drops.new && mv .drops.new .drops.said; then
        cat .drops.said
    else
        echo 'vxtrace-droplog 1 ok' && named .drops.log
    fi
}

if [ ! -d "$traces/instances" ]; then
    mount -n -t tracefs tracefs "$traces" 2>.drops.err || absent "tracefs cannot be mounted: $(head -n 1 .drops.err)"
fi
case $1 in start) start ;; stop) stop ;; esac
