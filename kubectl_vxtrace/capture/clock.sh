# now: Unix nanoseconds. Busybox's date may not know %N; bash is in netshoot.
LC_ALL=C
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
now() {
    time=$(date +%s%N 2>/dev/null)
    case $time in
    *[!0-9]*) ;;
    ???????????????????) echo "$time" && return ;;
    esac
    time=$(bash -c 'echo "$EPOCHREALTIME"' 2>/dev/null)
    case $time in
    ??????????[.,]??????) echo "${time%[.,]*}${time#*[.,]}000" && return ;;
    esac
    echo "$(date +%s)000000000"
}

# A fiftieth of a second; a sleep that knows whole seconds only takes one.
pause() { sleep 0.02 2>/dev/null || sleep 1; }
