#compdef kubectl-vxtrace
# Completion of kubectl-vxtrace for zsh: source <(kubectl-vxtrace completion zsh)
_kubectl_vxtrace() {
    local answer directive line word
    local -a candidates options
    answer=$("${words[1]}" __complete "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null) || return
    directive=${answer##*:}
    for line in "${(@f)answer}"; do
        [[ -z $line || $line == :* ]] && continue
        word=${${line%%$'\t'*}//:/\\:}
        if [[ $line == *$'\t'* ]]; then
            candidates+=("$word:${line#*$'\t'}")
        else
            candidates+=("$word")
        fi
    done
    ((directive & 2)) && options=(-S '')
    [[ ${words[CURRENT]} == -*=* ]] && options+=(-P "${words[CURRENT]%%=*}=")
    if ((${#candidates})); then
        _describe -V values candidates "${options[@]}"
    elif ((!(directive & 4))); then
        _files
    fi
}
compdef _kubectl_vxtrace kubectl-vxtrace
