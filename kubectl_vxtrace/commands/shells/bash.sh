# Completion of kubectl-vxtrace for bash: source <(kubectl-vxtrace completion bash)
_kubectl_vxtrace() {
    local cur=${COMP_WORDS[COMP_CWORD]} cword=$COMP_CWORD words=("${COMP_WORDS[@]}") answer directive line
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n "=:" cur words cword
    fi
    answer=$("${words[0]}" __completeNoDesc "${words[@]:1:cword}" 2>/dev/null) || return
    directive=${answer##*:}
    [[ $cur == -*=* ]] && cur=${cur#*=}
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$cur"* && $line != :* && -n $line ]] && COMPREPLY+=("$line")
    done <<<"$answer"
    if ((${directive:-4} & 2)); then
        compopt -o nospace 2>/dev/null
    fi
    if ((!(${directive:-4} & 4) && ${#COMPREPLY[@]} == 0)); then
        compopt -o default 2>/dev/null
    fi
    if declare -F __ltrimcolon_completions >/dev/null; then
        __ltrimcolon_completions "$cur"
    fi
}
complete -F _kubectl_vxtrace kubectl-vxtrace
