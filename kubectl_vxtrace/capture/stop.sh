# Stops all captures of this node and says what became of each. Asked again it says the same.
#
# Usage: stop.sh DIRECTORY WAIT_FIFTIETHS { ID INTERFACE FILE }...
# Output: see record in clock.sh. NUMBER is the file's size in bytes, DIGEST its SHA-256. STATE: stopped (ended on our INT), ended
# (had ended by itself), full (had ended at its limit of
# bytes), killed (did not end on INT), none (never started). The time in the first line is that before the first INT.
set -u -f
directory=$1 turns=$2
shift 2
mkdir -p "$directory" && cd "$directory" || exit 3
[ -s stop ] || now >stop
read -r stopped <stop

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
    read -r status <"$1.rc"
    if [ "$status" = 153 ]; then echo full; else echo ended; fi
}

note() {
    while [ $# -gt 2 ]; do
        if [ ! -s "$1.state" ]; then
            if [ -e "$1.rc" ]; then how_ended "$1"; elif ours "$1" "$3"; then echo stopped; elif [ -s "$1.pid" ]; then echo ended; else echo none; fi >"$1.state"
        fi
        shift 3
    done
}

kill_rest() {
    while [ $# -gt 2 ]; do
        if [ ! -e "$1.rc" ] && ours "$1" "$3"; then echo killed >"$1.state"; fi
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

note "$@"
signal_all INT "$@"
await "$turns" "$@"
kill_rest "$@"
signal_all TERM "$@"
await 25 "$@"
kill_all "$@"
await 25 "$@"
hash_all "$@"
echo "vxtrace-capture 1 $stopped"
while [ $# -gt 2 ]; do
    read -r state <"$1.state"
    read -r digest _ <"$1.$$.sha"
    size=0
    if [ -e "$3" ]; then size=$(($(wc -c <"$3"))); fi
    record "$1" "$state" "$(device_state "$2")" "$size" "$digest" "$1.err"
    shift 3
done
