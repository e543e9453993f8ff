"""HTML pages that make no requests, from the templates in this folder."""

from pathlib import Path

from backendexp.reporting import palette, svg


def render(template: str, **values: object) -> str:
    """The page that a template makes.

    template: the name of its file.
    values: what the template lays out, besides `fonts` and the colours `light` and `dark`, which every page
        gets. Text is escaped unless it is markupsafe's Markup.
    Raises jinja2.UndefinedError: the template uses a value that is missing.
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
        **values,
    )
    return svg.clean(page)
