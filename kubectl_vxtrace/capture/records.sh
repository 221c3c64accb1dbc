# device_state INTERFACE: up, down, absent, or unknown where there is no ip.
device_state() {
    command -v ip >/dev/null || { echo unknown && return; }
    line=$(ip -o link show dev "$1" 2>/dev/null) || { echo absent && return; }
    flags=${line#*<}
    case ,${flags%%>*}, in *,UP,*) echo up ;; *) echo down ;; esac
}

# tcpdump_options: what this node's tcpdump knows of what a capture should have. Debian's gives up root before it opens the file.
tcpdump_options() {
    usage=$(tcpdump --help 2>&1 </dev/null)
    case $usage in *'-Z user'*) printf ' -Z root' ;; esac
    case $usage in *--time-stamp-precision*) printf ' --time-stamp-precision=nano' ;; esac
}

# record ID STATE DEVICE NUMBER DIGEST [FILE]: one record, with the end of FILE as its text, told apart by its length. What is asked twice
# may run twice at the same time: each has files of its own.
record() {
    : >"$1.$$.said"
    if [ -n "${6:-}" ] && [ -e "$6" ]; then tail -c 65536 "$6" >"$1.$$.said"; fi
    echo "$1 $2 $3 $4 $5 $(($(wc -c <"$1.$$.said")))"
    cat "$1.$$.said"
    echo
}

# told ID STATE TEXT: the same of a capture that has no device, with a text that needs no file.
told() {
    echo "$1 $2 unknown 0 - ${#3}"
    echo "$3"
}
