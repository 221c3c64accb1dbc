# Says of each capture whether it runs, and counts packets of files that are not larger than is said: 0 for not at all.
#
# Usage: poll.sh DIRECTORY { ID FILE MOST_BYTES COUNT_FILTER }...
# Output: see record in records.sh; NUMBER is the count, "-" where there is none.
set -u -f
directory=$1
shift
cd "$directory" || exit 3
options=$(tcpdump_options)
options=${options%% --*}

# A file that is being written may end inside a record: what tcpdump counted until then stands.
count() {
    [ -e "$1" ] && [ "$(($(wc -c <"$1")))" -le "$2" ] || { echo - && return; }
    # shellcheck disable=SC2086
    counted=$(tcpdump $options --count -nn -r "$1" -- "$3" 2>/dev/null </dev/null)
    counted=${counted%% *}
    case $counted in '' | *[!0-9]*) echo - ;; *) echo "$counted" ;; esac
}

echo "vxtrace-capture 1 $(now)"
while [ $# -gt 3 ]; do
    state=running
    [ -e "$1.rc" ] && state=ended
    record "$1" "$state" unknown "$(count "$2" "$3" "$4")" -
    shift 4
done
