"""The safety report as one HTML file that needs nothing else: no script, no font, no picture, no address to ask."""

from functools import cache

import jinja2

from migration_pipeline import errors
from migration_pipeline.domain.report_page import Page, moment

TEMPLATE = "report.html.jinja"


def rendered(page: Page) -> bytes:
    """Return the file."""
    return template().render(page=page).encode("utf-8", "backslashreplace")


@cache
def template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("migration_pipeline.adapters"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"amount": _amount, "bytes": _bytes, "moment": moment}
    return environment.get_template(TEMPLATE)


def _shown(value: object) -> object:
    """Return a text as a reader may trust it: no character that turns the direction of writing, or that is not seen.

    jinja2 escapes it afterwards; what is marked as HTML is a part of the template.
    """
    if hasattr(value, "__html__"):
        return value
    return "\n".join(errors.printable(line) for line in str(value).split("\n"))


def _amount(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _bytes(number: int) -> str:
    size: float = number
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - decimal units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
