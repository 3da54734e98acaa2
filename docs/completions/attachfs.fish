# fish completion for attachfs

function __attachfs_complete
    set -l program (string replace -r '^~/' "$HOME/" -- (commandline -opc)[1])
    set -l token (commandline -ct)
    set -l prefix (string match -r -- '^-[^=]*=' $token)
    set -l rest (string sub -s (math (string length -- "$prefix") + 1) -- $token)
    set -lx _ATTACHFS_LINE (commandline -cp)
    set -lx _ATTACHFS_COMPLETE fish_complete
    for line in ($program 2>/dev/null)
        set -l fields (string split -m 1 \t -- $line)
        switch $fields[1]
            case dir
                printf '%s\n' "$prefix"(__fish_complete_directories "$rest")
            case file
                printf '%s\n' "$prefix"(__fish_complete_path "$rest")
            case plain
                printf '%s\n' "$prefix$fields[2]"
        end
    end
end

complete --command attachfs --no-files --keep-order --arguments '(__attachfs_complete)'
