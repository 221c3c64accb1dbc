# Starts all captures of this node, and waits until each listens or has ended. May be asked again, also while it runs: an answer may have
# been lost. What was begun is not begun again.
#
# Usage: start.sh DIRECTORY WAIT_FIFTIETHS LIMIT_S USER_FILTER { ID BLOCKS INTERFACE COUNT ARGUMENT... }...
# COUNT arguments are a capture's command. USER_FILTER is empty, or must be accepted by this node's libpcap before anything starts.
# Captures outlive this script and the connection: each is in a session of its own, bounded by LIMIT_S and by BLOCKS of 512 bytes.
# Output: see record in records.sh.
set -u -f
directory=$1 turns=$2 limit_s=$3 user_filter=$4
shift 4
mkdir -p "$directory" && cd "$directory" || exit 3

# What stop.sh needs to write where captures have filled the disk: whole from the moment that it is there, whoever asks at the same time.
if [ ! -e reserve ] && [ ! -e stop ]; then
    head -c 1048576 /dev/zero 2>/dev/null >"reserve.$$"
    if [ "$(($(wc -c <"reserve.$$")))" != 1048576 ]; then
        rm -f "reserve.$$"
        echo "vxtrace-capture 1 $(now)"
        told 0 refused "no space is left in $directory on the node"
        exit 0
    fi
    mv -f "reserve.$$" reserve
fi
if ! command -v tcpdump >/dev/null; then
    echo "vxtrace-capture 1 $(now)"
    echo 'tcpdump is not in the image' >0.err
    record 0 refused unknown 0 - 0.err
    exit 0
fi
if [ -e stop ]; then
    echo "vxtrace-capture 1 $(now)"
    echo 'it was stopped before it began' >0.err
    record 0 refused unknown 0 - 0.err
    exit 0
fi
options=$(tcpdump_options)
if [ -n "$user_filter" ] && ! tcpdump -y EN10MB -d -- "$user_filter" >/dev/null 2>0.err </dev/null; then
    echo "vxtrace-capture 1 $(now)"
    record 0 filter unknown 0 - 0.err
    exit 0
fi

# No hang-up of the exec reaches a session of its own; where there is a terminal, HUP is ignored too.
# A capture that would grow beyond its blocks is ended by XFSZ. It must not be ignored: tcpdump does not look whether its writes succeed,
# and would go on counting packets that it did not keep.
# Who stops before we got here has left a file named stop.
runner='
id=$1 blocks=$2 limit_s=$3
shift 3
trap "" HUP
[ -e stop ] && echo stopped >"$id.rc" && exit
ulimit -f "$blocks"
ulimit -c 0
timeout -s INT "$limit_s" sh -c "echo \$\$ >$id.tcpdump; exec \"\$@\"" vxtrace-capture "$@" &
echo $! >"$id.pid"
[ -e stop ] && kill $!
wait $!
echo $? >"$id.rc"
'
begin() {
    id=$1 blocks=$2 count=$4 rest=$(($# - 4 - $4))
    shift 4
    # Bring the first COUNT arguments behind the others, then drop the others.
    while [ "$count" -gt 0 ]; do
        argument=$1 && shift && set -- "$@" "$argument" && count=$((count - 1))
    done
    shift "$rest"
    command=$1
    shift
    # shellcheck disable=SC2086
    setsid sh -c "$runner" vxtrace-capture "$id" "$blocks" "$limit_s" "$command" $options "$@" >"$id.out" 2>"$id.err" </dev/null &
}

# state ID: listening, ended or waiting, as its stderr and its exit status say.
state() {
    if [ -e "$1.rc" ]; then echo ended && return; fi
    [ -e "$1.err" ] || { echo waiting && return; }
    while read -r line; do
        case $line in *'listening on'*) echo listening && return ;; esac
    done <"$1.err"
    echo waiting
}

# What came before the filter was in place counts as received and is never written (libpcap attaches the filter to a socket that receives
# already, and passes over what is in the ring by then). tcpdump says its numbers so far on USR1: tcpdump(8). Asked later it would count
# others with them.
count_early() {
    for id in $begun; do
        if [ "$(state "$id")" = listening ] && read -r pid <"$id.tcpdump"; then kill -s USR1 "$pid" 2>/dev/null; fi
    done
    patience=25
    while [ "$patience" -gt 0 ]; do
        waiting=''
        for id in $ids; do
            id=${id%%:*}
            if [ ! -e "$id.rc" ] && [ -s "$id.tcpdump" ] && ! grep -q 'received by filter' "$id.err"; then waiting=yes && break; fi
        done
        [ -n "$waiting" ] || break
        pause
        patience=$((patience - 1))
    done
}

# Whoever makes a capture's folder begins it: one of those who are asked, and once.
ids='' begun=''
each() {
    while [ $# -gt 0 ]; do
        ids="$ids $1:$3"
        if mkdir "$1.begun" 2>/dev/null; then
            begun="$begun $1"
            : >"$1.err"
            begin "$@"
        fi
        shift $((4 + $4))
    done
}
each "$@"

while [ "$turns" -gt 0 ]; do
    waiting=''
    for id in $ids; do [ "$(state "${id%%:*}")" = waiting ] && waiting=yes && break; done
    [ -n "$waiting" ] || break
    pause
    turns=$((turns - 1))
done
count_early
echo "vxtrace-capture 1 $(now)$options"
for id in $ids; do
    record "${id%%:*}" "$(state "${id%%:*}")" "$(device_state "${id#*:}")" 0 - "${id%%:*}.err"
done
