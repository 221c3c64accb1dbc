# Asks this node, in one go, everything that a look at it needs, and changes nothing.
#
# Usage: look.sh local:ADDRESS... remote:ADDRESS... underlay:ADDRESS... service:ADDRESS... lookup:ADDRESS...
#     tuple:PROTOCOL,PORT,ADDRESS... [only:conntrack]
# With only:conntrack it asks for connections alone.
# POSIX sh; runs under dash and busybox. It needs one writable directory for the answers, which it removes.
# Questions are put one after the other, at low priority: a node in trouble sees one process of ours at a time. What counts packets
# comes first, while the capture that it is compared with has just begun or ended.
#
# Output: "vxtrace-look 1", one line "KEY STATUS OUT_BYTES ERR_BYTES" per question, an empty line, then the bytes of all
# answers (stdout, then stderr) in that order. Lengths, not marks, tell answers apart: no content can forge a frame.
# STATUS is the exit status or "absent" where there is no such tool or file.
set -u -f
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
patience_s=5
strikes=0
renice -n 10 -p "$$" >/dev/null 2>&1
# Nothing that a tool writes grows beyond 32 MiB (blocks of 512 bytes).
ulimit -f 65536

# now: Unix nanoseconds and the resolution. Busybox's date may not know %N; bash and jq are in netshoot.
now() {
    time=$(date +%s%N 2>/dev/null)
    case $time in
    *[!0-9]*) ;;
    ???????????????????) echo "$time 1" && return ;;
    esac
    time=$(bash -c 'echo "$EPOCHREALTIME"' 2>/dev/null)
    case $time in
    ??????????[.,]??????) echo "${time%[.,]*}${time#*[.,]}000 1000" && return ;;
    esac
    echo "$(date +%s)000000000 1000000000"
}

workplace() {
    for parent in /capture "${TMPDIR:-/tmp}" /dev/shm /run; do
        [ -d "$parent" ] && [ -w "$parent" ] || continue
        work=$parent/.vxtrace-look.$$
        mkdir -m 700 "$work" 2>/dev/null && cd "$work" || continue
        # Captures may have filled it.
        head -c 1048576 /dev/zero 2>/dev/null >room
        [ "$(($(wc -c <room)))" = 1048576 ] && rm -f room && return 0
        cd / && rm -rf "$work"
    done
    echo "no writable directory for the answers (/capture, /tmp, /dev/shm, /run)" >&2
    return 1
}

keys=''
known() { keys="$keys $1" && : >"$1.out" && : >"$1.err" && echo 0 >"$1.rc"; }

# missing KEY WHY: the answer to KEY is that there is none.
missing() { known "$1" && echo absent >"$1.rc" && echo "$2" >"$1.err"; }

# ask KEY LIMIT_BYTES COMMAND...: runs the command, bounded in time and size. A node where one tool hangs gets less patience,
# and where three have hung no more questions.
ask() {
    key=$1 limit=$2
    shift 2
    command -v "$1" >/dev/null || { missing "$key" "$1 is not installed" && return; }
    [ "$strikes" -lt 3 ] || { missing "$key" 'not asked: three questions before had no answer in time' && return; }
    known "$key"
    { timeout -s KILL "$patience_s" "$@" 2>"$key.err" </dev/null || echo $? >"$key.rc"; } | head -c "$limit" >"$key.out"
    read -r status <"$key.rc"
    case $status in 124 | 137 | 143) strikes=$((strikes + 1)) patience_s=2 ;; esac
}

# file KEY PATH LIMIT_BYTES: the beginning of a file of /proc, which needs no bound in time.
file() {
    known "$1"
    if [ -r "$2" ]; then
        head -c "$3" "$2" >"$1.out" 2>"$1.err" || echo $? >"$1.rc"
    else
        echo absent >"$1.rc" && echo "$2 is not there" >"$1.err"
    fi
}

same_family() {
    case $1 in *:*) case $2 in *:*) return 0 ;; *) return 1 ;; esac ;; esac
    case $2 in *:*) return 1 ;; esac
}

# Only such a name is used in a command; any other interface is reported, not asked.
plain_name() { case $1 in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.@-]* | ????????????????*) return 1 ;; esac; }

each() { for argument in "$@"; do case $argument in "$wanted":*) echo "${argument#*:}" ;; esac; done; }

emit() {
    set --
    for key in $keys; do set -- "$@" "$key.out" "$key.err"; done
    wc -c "$@" >sizes
    echo 'vxtrace-look 1'
    for key in $keys; do
        read -r status <"$key.rc"
        read -r out_bytes _ <&3
        read -r err_bytes _ <&3
        # A complaint is a line; what is more than that is not kept.
        if [ "$err_bytes" -gt 65536 ]; then head -c 65536 "$key.err" >cut && cat cut >"$key.err" && err_bytes=65536; fi
        echo "$key $status $out_bytes $err_bytes"
    done 3<sizes
    echo
    cat "$@"
}
