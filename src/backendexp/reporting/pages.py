"""HTML pages that load nothing from anywhere, from the templates beside this module."""

from pathlib import Path

from backendexp.reporting import palette, svg


def render(template: str, **told: object) -> str:
    """template: a file's name. told: what it lays out, besides `fonts` and the colours `light` and `dark`.

    Text is escaped, but for what is markupsafe's Markup. Raises jinja2.UndefinedError: something is not told.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(
        fonts=Markup(palette.FONTS),
        light=Markup(palette.css(dark=False)),
        dark=Markup(palette.css(dark=True)),
        **told,
    )
    return svg.clean(page)
