# bash completion for attachfs

_attachfs_completion() {
    local program=${1/#\~\//$HOME/} type value
    COMPREPLY=()
    while IFS=$'\t' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(
        _ATTACHFS_COMPLETE=bash_complete _ATTACHFS_BREAKS=$COMP_WORDBREAKS \
            _ATTACHFS_LINE=${COMP_LINE:0:COMP_POINT} "$program" 2>/dev/null
    )
}

complete -o nosort -F _attachfs_completion attachfs 2>/dev/null || # bash 4.4 and later
    complete -F _attachfs_completion attachfs
