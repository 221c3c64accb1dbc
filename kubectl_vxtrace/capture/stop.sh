# Stops all captures of this node and says what became of each. Asked again it says the same.
#
# Usage: stop.sh DIRECTORY WAIT_FIFTIETHS { ID INTERFACE FILE }...
# Output: see record in records.sh. NUMBER is the file's size in bytes, DIGEST its SHA-256. STATE: stopped (ended on our INT), ended
# (had ended by itself), full (had ended at its limit of bytes), nospace (one of these two, and the disk was full by then), killed (did
# not end on INT), none (never started). The time in the first line is that before the first INT.
# Nothing hangs on what is written before the captures have ended: where they have filled the disk it may be lost.
set -u -f
directory=$1 turns=$2
shift 2
mkdir -p "$directory" && cd "$directory" || exit 3
stopped=''
if [ -s stop ]; then read -r stopped <stop; else : >stop; fi
[ -n "$stopped" ] || stopped=$(now)

# ours ID FILE: whether the process that was started as ID still is that capture, and not another one under its number.
ours() {
    pid=''
    if [ -s "$1.pid" ]; then read -r pid <"$1.pid"; fi
    case $pid in '' | *[!0-9]*) return 1 ;; esac
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -e "-w $2 "
}

signal_all() {
    signal=$1
    shift
    while [ $# -gt 2 ]; do
        if [ ! -e "$1.rc" ] && ours "$1" "$3"; then kill -s "$signal" "$pid" 2>/dev/null; fi
        shift 3
    done
}

# By coreutils' timeout the capture is in a group of its own, which must go with it; by busybox' it is the process itself.
kill_all() {
    while [ $# -gt 2 ]; do
        if [ ! -e "$1.rc" ] && ours "$1" "$3"; then
            kill -KILL "-$pid" 2>/dev/null
            kill -KILL "$pid" 2>/dev/null
        fi
        shift 3
    done
}

await() {
    patience=$1
    shift
    while [ "$patience" -gt 0 ] && running "$@"; do
        pause
        patience=$((patience - 1))
    done
}

running() {
    while [ $# -gt 2 ]; do
        if [ ! -e "$1.rc" ] && ours "$1" "$3"; then return 0; fi
        shift 3
    done
    return 1
}

# 153: ended by signal 25, XFSZ.
how_ended() {
    status=''
    read -r status <"$1.rc"
    if [ "$status" = 153 ]; then echo full; else echo ended; fi
}

# States are variables named after the captures' numbers; keep writes them for whoever asks again.
note() {
    while [ $# -gt 2 ]; do
        state=''
        if [ -s "$1.state" ]; then read -r state <"$1.state"; fi
        if [ -z "$state" ]; then
            if [ -e "$1.rc" ]; then state=$(how_ended "$1"); elif ours "$1" "$3"; then state=stopped; elif [ -s "$1.pid" ]; then state=ended; else state=none; fi
            if [ "$full" = yes ]; then case $state in stopped | ended) state=nospace ;; esac fi
        fi
        eval "state_$1=\$state"
        shift 3
    done
}

kill_rest() {
    while [ $# -gt 2 ]; do
        if [ ! -e "$1.rc" ] && ours "$1" "$3"; then eval "state_$1=killed" && echo killed 2>/dev/null >"$1.state"; fi
        shift 3
    done
}

# Of several that stop at once the first is right: to the others its INT looks like an end by itself.
keep() {
    [ -s stop ] || echo "$stopped" 2>/dev/null >stop
    while [ $# -gt 2 ]; do
        eval "state=\$state_$1"
        (set -C && echo "$state" >"$1.state") 2>/dev/null
        [ -s "$1.state" ] || echo "$state" 2>/dev/null >"$1.state"
        if [ -s "$1.state" ]; then read -r state <"$1.state" && eval "state_$1=\$state"; fi
        shift 3
    done
}

hash_all() {
    while [ $# -gt 2 ]; do
        echo - >"$1.$$.sha"
        if [ -e "$3" ]; then sha256sum <"$3" >"$1.$$.sha" & fi
        shift 3
    done
    wait
}

# Whether nothing can be written any more. The reserve makes room for tcpdump's last words, and for ours.
full=''
if [ -e reserve ]; then
    head -c 4096 /dev/zero 2>/dev/null >"room.$$"
    [ "$(($(wc -c <"room.$$")))" = 4096 ] || full=yes
    rm -f "room.$$"
fi

note "$@"
rm -f reserve
keep "$@"
signal_all INT "$@"
await "$turns" "$@"
kill_rest "$@"
signal_all TERM "$@"
await 25 "$@"
kill_all "$@"
await 25 "$@"
keep "$@"
hash_all "$@"
echo "vxtrace-capture 1 $stopped"
while [ $# -gt 2 ]; do
    eval "state=\$state_$1"
    digest=''
    read -r digest _ <"$1.$$.sha"
    if [ -z "$digest" ]; then digest=$(sha256sum <"$3") && digest=${digest%% *}; fi
    size=0
    if [ -e "$3" ]; then size=$(($(wc -c <"$3"))); fi
    record "$1" "$state" "$(device_state "$2")" "$size" "$digest" "$1.err"
    shift 3
done
