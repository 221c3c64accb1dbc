# Completion of kubectl-vxtrace for fish: kubectl-vxtrace completion fish | source
function __kubectl_vxtrace
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    or return
    set -l directive (string replace ':' '' -- $answer[-1])
    set -l prefix (string match -r -- '^-[^=]*=' "$current")
    if test (count $answer) -eq 1; and test (math "floor($directive / 4) % 2") -eq 0
        __fish_complete_path "$current"
        return
    end
    for line in $answer[1..-2]
        echo "$prefix$line"
    end
end
complete -c kubectl-vxtrace -f -a '(__kubectl_vxtrace)'
