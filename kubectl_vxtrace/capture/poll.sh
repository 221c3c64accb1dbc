# Says of each capture whether it runs, and counts packets where a filter says which.
#
# Usage: poll.sh DIRECTORY { ID FILE COUNT_FILTER }...
# Output: see record in clock.sh; NUMBER is the count, "-" where there is none.
set -u -f
directory=$1
shift
cd "$directory" || exit 3
options=$(tcpdump_options)
options=${options%% --*}

# A file that is being written may end inside a record: what tcpdump counted until then stands.
count() {
    [ -n "$2" ] && [ -e "$1" ] || { echo - && return; }
    # shellcheck disable=SC2086
    counted=$(tcpdump $options --count -nn -r "$1" -- "$2" 2>/dev/null </dev/null)
    counted=${counted%% *}
    case $counted in '' | *[!0-9]*) echo - ;; *) echo "$counted" ;; esac
}

echo "vxtrace-capture 1 $(now)"
while [ $# -gt 2 ]; do
    state=running
    [ -e "$1.rc" ] && state=ended
    record "$1" "$state" unknown "$(count "$2" "$3")" -
    shift 3
done
