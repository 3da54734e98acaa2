"""What bash, zsh and fish do when the tab key is pressed, and how attachfs answers them.

A script for each shell runs attachfs with the command line up to the cursor in a variable, and
reads lines of `plain`, `file` or `dir`, a value and a sentence of help, with tabs between.
click finds what there is to choose from (click.shell_completion); its own scripts are not used:
they split values at spaces and commas, and know nothing of `--option=value`.
"""

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

_LINE: Final = "_ATTACHFS_LINE"
_BREAKS: Final = "_ATTACHFS_BREAKS"
_END: Final = "\0"  # stands after the last word, that an empty one is seen
_UNTOUCHED_BY_BASH: Final = re.compile(r"[^\w%+,./:=@~-]")

_BASH: Final = r"""# bash completion for attachfs

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
"""

_ZSH: Final = r"""#compdef attachfs

_attachfs() {
    local program=${(Q)words[1]} files type value help
    local -a found
    program=${program/#\~\//$HOME/}
    while IFS=$'\t' read -r type value help; do
        case $type in
            dir) files=-/ ;;
            file) files=-f ;;
            plain) found+=("${${value//\\/\\\\}//:/\\:}${help:+:$help}") ;;
        esac
    done < <(
        _ATTACHFS_COMPLETE=zsh_complete \
            _ATTACHFS_LINE="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" $program 2>/dev/null
    )
    [[ $PREFIX != -*=* ]] || compset -P '*='
    if [[ -n $files ]]; then
        _path_files $files
    elif (( $#found )); then
        _describe -V attachfs found
    else
        return 1
    fi
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _attachfs "$@" # found in $fpath, and called for the first time
else
    compdef _attachfs attachfs
fi
"""

_FISH: Final = r"""# fish completion for attachfs

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
"""


class _Shell(ShellComplete):
    """Answer one of the scripts above."""

    def source(self) -> str:
        """Return the script, in which nothing is to be filled in."""
        return self.source_template

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words after the program's name, and the one before the cursor."""
        *words, last = split_arg_string(os.environ.get(_LINE, "") + _END)
        return [os.path.expanduser(word) for word in words[1:]], last.removesuffix(_END)  # noqa: PTH111

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what there is to choose from, without what would break the lines."""
        return [
            item
            for item in super().get_completions(args, incomplete)
            if item.type != "plain" or item.value.isprintable()
        ]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a line: what it is, its value, the first sentence of its help."""
        value = item.value if item.type == "plain" else ""
        return "\t".join((item.type, value, *([_first_sentence(item.help)] if item.help else [])))


class _Bash(_Shell):
    name = "bash"
    source_template = _BASH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what is to take the place of what bash regards as the word.

        That begins at the last of the characters that break words, `=` and `:` among them.
        """
        breaks = set(":=@") & set(os.environ.get(_BREAKS, ""))
        is_quoted = _ends_in_quotes(os.environ.get(_LINE, ""))
        kept = 0 if is_quoted else max((incomplete.rfind(x) + 1 for x in breaks), default=0)
        option, equals, _ = incomplete.partition("=")
        before = option + equals if equals and option.startswith("-") else ""
        items = super().get_completions(args, incomplete)
        for item in items:
            value = (before + item.value)[kept:]
            item.value = value if is_quoted else _UNTOUCHED_BY_BASH.sub(r"\\\g<0>", value)
        return items

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a line without the help, which bash does not show."""
        return f"{item.type}\t{item.value if item.type == 'plain' else ''}"


class _Zsh(_Shell):
    name = "zsh"
    source_template = _ZSH


class _Fish(_Shell):
    name = "fish"
    source_template = _FISH


_SHELLS: Final[Mapping[str, type[_Shell]]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def script(shell: str) -> str:
    """Return the script of a shell."""
    return _SHELLS[shell].source_template


def register() -> None:
    """Have click answer these shells in this way."""
    for shell in _SHELLS.values():
        add_completion_class(shell)


def _first_sentence(text: Any) -> str:
    sentence = re.match(r".*?\.(?=\s|$)|.*", " ".join(str(text).split()))
    assert sentence is not None  # noqa: S101 - anything matches
    return sentence[0]


def _ends_in_quotes(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError as error:
        return "quotation" in str(error)
    return False
