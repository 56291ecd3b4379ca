"""Fill a template so that the page needs nothing else and can do no harm: the one place that sets up Jinja2."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from digitlab import in_words
from digitlab.showing import wording

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = "digitlab.showing"


def fill(template: str, *, styles: Sequence[str], scripts: Sequence[str], package: str = HERE, **values: object) -> str:
    """Fill a template with everything inside the page; what comes in `values` is escaped.

    Args:
        template: Its file name. It gets `style`, `script` and `script_hash`, for its Content-Security-Policy.
        styles: File names, joined.
        scripts: File names, joined.
        package: Whose `templates` folder holds the files; what is not there is taken from this package's.
        **values: What else it shows.

    Returns:
        The page.

    Example:
        See `render` and `render_runs`.
    """
    from markupsafe import Markup

    folders = [files(place) / "templates" for place in (package, HERE)]

    def text(name: str) -> str:
        return next(folder / name for folder in folders if (folder / name).is_file()).read_text("utf-8")

    style, script = ("".join(map(text, names)) for names in (styles, scripts))
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        _environment(package)
        .get_template(template)
        .render(
            style=Markup(style),  # noqa: S704  (files of this package)
            script=Markup(script),  # noqa: S704
            script_hash=f"sha256-{digest}",
            **values,
        )
    )


@functools.cache
def _environment(package: str) -> Environment:
    """Jinja2 with our filters; it keeps what it compiled, a fifth of a second for the report's templates."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        {
            said.__name__: said
            for said in (
                wording.percent,
                wording.percents,
                in_words.duration,
                wording.number,
                wording.moment,
                wording.sentence,
                wording.breakable,
            )
        }
    )
    return environment
