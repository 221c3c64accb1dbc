# First process of a debug pod: sh -c THIS vxtrace IDLE_SECONDS [FOLDER]
#
# Every call of the client creates FOLDER/.lease; this loop takes it away. When none came for IDLE_SECONDS the container ends
# by itself (exit 3), so that a client that died leaves nothing running. No clock is read: a node's clock may jump.
# At every end FOLDER/.finish is run, if a call left one; it bounds itself in time.
# A shell that waits reaps the children of ended calls. POSIX; runs under dash and busybox.
idle=$1
folder=${2:-/capture}
quiet=0
sleeper=

alone() {
    set -- /proc/[0-9]*
    [ "$#" -le 1 ]
}

finish() {
    trap '' TERM INT HUP
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
    # What a call has made outside the container it also wrote down how to take away.
    [ ! -e "$folder/.finish" ] || sh "$folder/.finish" >/dev/null 2>&1
    # Only in a process namespace of our own is $$ 1, and only there is everything else ours: captures end on INT, what
    # ignores it on TERM, and whatever is left dies with us. (dash takes `-s INT -1` for an unknown option.)
    if [ "$$" -eq 1 ]; then
        kill -INT -1 2>/dev/null
        turn=0
        while [ "$turn" -lt 100 ] && ! alone; do
            [ "$turn" -ne 50 ] || kill -TERM -1 2>/dev/null
            sleep 0.02
            turn=$((turn + 1))
        done
    fi
    exit "$1"
}

trap 'finish 0' TERM INT HUP
while [ "$quiet" -lt "$idle" ]; do
    sleep 1 &
    sleeper=$!
    wait "$sleeper"
    if [ -e "$folder/.lease" ]; then
        rm -f "$folder/.lease"
        quiet=0
    else
        quiet=$((quiet + 1))
    fi
done
echo "vxtrace: nobody has called for $idle seconds"
sleeper=
finish 3
