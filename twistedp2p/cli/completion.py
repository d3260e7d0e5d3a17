"""`p2pshare completion`: prints what makes a shell complete this command with Tab.

It is made from the parsers, so that it knows what they know.
"""

from __future__ import annotations

import argparse

from twistedp2p.cli.grammar import Argument, Command, before, commands
from twistedp2p.core.errors import Exit

EPILOG = """\
bash:  eval "$(p2pshare completion bash)"     in ~/.bashrc
zsh:   eval "$(p2pshare completion zsh)"      in ~/.zshrc, after compinit
fish:  p2pshare completion fish | source      in ~/.config/fish/config.fish
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=list(SHELLS), help="whose language to speak")


def run(options: argparse.Namespace) -> int:
    """Print it; the exit code."""
    print(script(options.shell), end="")
    return Exit.OK


def script(shell: str) -> str:
    """The completion script for ``bash``, ``zsh`` or ``fish``."""
    return "\n".join(SHELLS[shell](before(), commands())) + "\n"


# -- bash


_BASH = """\
# bash completion of p2pshare
_p2pshare() {
    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} command= each
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $each == -* ]] || { command=$each; break; }
    done
    COMPREPLY=()
    case $command,$last in"""
_BASH_MIDDLE = """\
    esac
    local options= rest=
    case $command in"""
_BASH_END = """\
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
    elif [[ $rest == files ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$rest" -- "$word")
    fi
}
complete -F _p2pshare p2pshare"""


def _bash(top: Command, subcommands: list[Command]) -> list[str]:
    lines = _BASH.splitlines()
    for command in subcommands:
        for option in command.options:
            if option.value:
                cases = "|".join(f"{command.name},{name}" for name in option.names)
                lines.append(f"    {cases})\n        {_bash_values(option)}\n        return;;")
    lines += _BASH_MIDDLE.splitlines()
    names = " ".join(command.name for command in subcommands)
    lines.append(f'    "") options="{_names(top)}" rest="{names}";;')
    for command in subcommands:
        rest = " ".join(
            "files" if argument.of_files else " ".join(argument.choices)
            for argument in command.rest
        )
        lines.append(f'    {command.name}) options="{_names(command)}" rest="{rest}";;')
    return lines + _BASH_END.splitlines()


def _bash_values(option: Argument) -> str:
    if option.of_files or option.of_folders:
        kind = "-d" if option.of_folders else "-f"
        return f'compopt -o filenames; mapfile -t COMPREPLY < <(compgen {kind} -- "$word")'
    choices = " ".join(option.choices)
    return f'mapfile -t COMPREPLY < <(compgen -W "{choices}" -- "$word")'


def _names(command: Command) -> str:
    return " ".join(name for option in command.options for name in option.names)


# -- zsh


def _zsh(top: Command, subcommands: list[Command]) -> list[str]:
    lines = ["#compdef p2pshare", "_p2pshare() {", "    local -a commands=("]
    lines += [f"        {_quoted(f'{each.name}:{each.what}')}" for each in subcommands]
    lines += [
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        f"        _arguments {' '.join(_zsh_options(top))}",
        "        return",
        "    fi",
        "    local command=$words[2]",
        "    shift words",
        "    (( CURRENT-- ))",
        "    case $command in",
    ]
    for command in subcommands:
        rest = [_quoted(f"*:{each.value}:{_zsh_values(each)}") for each in command.rest]
        specs = " \\\n            ".join([*_zsh_options(command), *rest])
        lines.append(f"    {command.name}) _arguments {specs};;")
    return [
        *lines,
        "    esac",
        "}",
        # As a file of $fpath it is called at once; from .zshrc it is only made known.
        'if [ "$funcstack[1]" = _p2pshare ]; then',
        '    _p2pshare "$@"',
        "else",
        "    compdef _p2pshare p2pshare",
        "fi",
    ]


def _zsh_options(command: Command) -> list[str]:
    specs = []
    for option in command.options:
        words = option.words.replace("[", r"\[").replace("]", r"\]")
        value = f":{option.value.replace(':', ' ')}:{_zsh_values(option)}" if option.value else ""
        specs += [_quoted(f"*{name}[{words}]{value}") for name in option.names]
    return specs


def _zsh_values(argument: Argument) -> str:
    if argument.of_folders:
        return "_files -/"
    if argument.of_files:
        return "_files"
    return f"({' '.join(argument.choices)})" if argument.choices else " "


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"


# -- fish


def _fish(top: Command, subcommands: list[Command]) -> list[str]:
    lines = ["# fish completion of p2pshare", "complete -c p2pshare -f"]
    none = "-n __fish_use_subcommand"
    lines += [_fish_option(option, none) for option in top.options]
    for command in subcommands:
        lines.append(f"complete -c p2pshare {none} -a {command.name} -d {_fish_text(command.what)}")
        inside = f"-n '__fish_seen_subcommand_from {command.name}'"
        lines += [_fish_option(option, inside) for option in command.options]
        for argument in command.rest:
            if argument.of_files:
                lines.append(f"complete -c p2pshare {inside} -F")
            elif argument.choices:
                lines.append(f"complete -c p2pshare {inside} -a '{' '.join(argument.choices)}'")
    return lines


def _fish_option(option: Argument, condition: str) -> str:
    line = f"complete -c p2pshare {condition}"
    for name in option.names:
        line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
    if option.of_files:
        line += " -r -F"
    elif option.of_folders:
        line += " -x -a '(__fish_complete_directories)'"
    elif option.choices:
        line += f" -x -a '{' '.join(option.choices)}'"
    elif option.value:
        line += " -x"
    return f"{line} -d {_fish_text(option.words)}"


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
