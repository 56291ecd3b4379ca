"""Write the pages of docs/ that follow from the code: command-line.md and recipe-fields.md.

Run it after every change of a command or of a recipe; a test compares the pages with what it would write:

    uv run docs/make.py
"""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/make.py; change the code, then run it. -->\n"


def command_line() -> str:
    """Every command, argument and option, from the Typer application itself."""
    import typer

    from digitlab.cli import app

    group: Any = typer.main.get_command(app)
    parts = [
        NOTE,
        "# The command line\n",
        "Results go to stdout, progress to stderr. `NO_COLOR` is respected. `digitlab COMMAND --help` says what\n"
        "stands here.\n",
        "| command | what it does |\n| --- | --- |",
        *(f"| [`{name}`](#digitlab-{name}) | {_text(command.help)} |" for name, command in group.commands.items()),
        "\n| exit code | meaning |\n| ---: | --- |\n| 0 | done |\n| 1 | an error, said in one line |\n"
        "| 2 | the command was not understood |\n| 130 | stopped by Ctrl-C; the checkpoint is kept |\n"
        "| 143 | the same by SIGTERM, within three seconds |\n",
        "| environment | meaning |\n| --- | --- |\n| `DIGITLAB_RUNS` | folder of the runs, in place of `./runs` |\n"
        "| `DIGITLAB_VERBOSE` | any value: show the traceback of an error |\n"
        "| `KERAS_BACKEND` | what Keras computes with; `jax` if not set |\n",
        "Options of `digitlab` itself: "
        + ", ".join(f"`{_flags(p)}`" for p in group.params if p.param_type_name == "option")
        + ".\n",
    ]
    for name, command in group.commands.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option"]
        kinds = _kinds(command)
        words = [_shown(p) if p.required else f"[{_shown(p)}]" for p in arguments]
        parts.append(f"## digitlab {name}\n\n{_text(command.help)}\n")
        parts.append("    digitlab " + " ".join([name, *words, "[OPTIONS]"]) + "\n")
        if arguments:
            parts.append("| argument | meaning |\n| --- | --- |")
            parts += [f"| `{_shown(p).rstrip('.')}` | {_text(p.help)}{_default(p)} |" for p in arguments]
            parts.append("")
        for panel in dict.fromkeys(getattr(p, "rich_help_panel", None) for p in options):
            if panel:
                parts.append(f"{panel.partition(' (')[0]}: see also [recipe-fields.md](recipe-fields.md).\n")
            parts.append("| option | meaning |\n| --- | --- |")
            parts += [
                f"| `{_flags(p, kinds[p.name])}` | {_text(p.help)}{_default(p)} |"
                for p in options
                if getattr(p, "rich_help_panel", None) == panel
            ]
            parts.append("")
        parts.append(f"{_text(command.epilog, code=True)}\n")
    return "\n".join(parts).rstrip() + "\n"


def _kinds(command: Any) -> dict[str, str]:
    """What each option takes, read off the function behind the command; Typer's own types differ by version."""
    words = {int: "N", float: "X", Path: "PATH"}
    hints = typing.get_type_hints(command.callback)
    return {
        name: next((word for kind, word in words.items() if kind in _either(hint)), "TEXT")
        for name, hint in hints.items()
    }


def _either(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def _flags(parameter: Any, kind: str = "") -> str:
    flags = ", ".join(parameter.opts) + "".join(f" / {off}" for off in parameter.secondary_opts)
    return flags if parameter.is_flag else f"{flags} {kind}"


def _default(parameter: Any) -> str:
    """Typer's own help says it in this form; a default of None or False says nothing."""
    value = parameter.default
    return f" (default: {value})" if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _shown(parameter: Any) -> str:
    """An argument as `--help` shows it."""
    return str(parameter.metavar or parameter.name).upper()


def _text(text: str | None, *, code: bool = False) -> str:
    """Help text as Markdown; Rich's [bold] marks a command."""
    mark = "`" if code else ""
    return re.sub(r"\[bold\]|\[/\]", mark, " ".join((text or "").split())).replace("|", "\\|")


def recipe_fields() -> str:
    """Every field of a recipe with its default, its range and its meaning; then what each recipe sets."""
    from digitlab.learning import FIELDS, RECIPES, Recipe

    parts = [
        NOTE,
        "# The fields of a recipe\n",
        "A recipe is one flat record. The defaults are the recipe `mlp`. Every field but the first three is an option\n"
        "of `digitlab train`, and a keyword of `digitlab.train`:\n",
        '    digitlab train mlp --epochs 3 --hidden 64\n    digitlab.train("mlp", epochs=3, hidden=(64,))\n',
        "| field | default | allowed | meaning |\n| --- | --- | --- | --- |",
    ]
    for name, field in FIELDS.items():
        parts.append(f"| `{name}` | {_value(field.default)} | {_allowed(field)} | {field.metadata['help']} |")
    parts += ["\n## What each recipe sets\n", "| recipe | network | differs from `mlp` in |\n| --- | --- | --- |"]
    plain = Recipe()
    for recipe in RECIPES.values():
        differs = [
            f"{key} {_value(value)}"
            for key, value in dataclasses.asdict(recipe).items()
            if key not in ("name", "description") and value != getattr(plain, key)
        ]
        parts.append(f"| `{recipe.name}` | {recipe.description} | {', '.join(differs) or '(the default)'} |")
    parts.append("\n`digitlab recipes` shows what each achieves, as `benchmarks/accuracy.py` measured it.\n")
    return "\n".join(parts)


def _value(value: Any) -> str:
    return f"`{','.join(map(str, value)) or 'none'}`" if isinstance(value, tuple) else f"`{value}`"


def _allowed(field: dataclasses.Field[Any]) -> str:
    kinds = {"int": "whole number", "float": "number", "bool": "True or False", "str": "text"}
    kind = kinds.get(str(field.type), "whole numbers of at least 1")
    if field.metadata["choices"]:
        return ", ".join(f"`{choice}`" for choice in field.metadata["choices"])
    return f"{kind} {field.metadata['bounds'] or ''}".strip()


PAGES = {"command-line.md": command_line, "recipe-fields.md": recipe_fields}


def main() -> None:
    """Write both pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), "utf-8")
        print(f"written {HERE / name}")


if __name__ == "__main__":
    main()
