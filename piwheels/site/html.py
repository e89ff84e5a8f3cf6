"""Templates: compiled once in a process, everything escaped, everything to be seen."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from piwheels.site import assets, text


def render(template: str, *, root: str, **values: Any) -> bytes:
    """A page from a template.

    Args:
        template: its file in templates/.
        root: what leads from the page to the tree's root, as base.html wants it.
        values: what the template uses.
    """
    page = _environment().get_template(template)
    return page.render(root=root, assets=assets.names(), **values).encode()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("piwheels.site"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        path=text.path,
        log_path=text.log_path,
        moment=text.moment,
        instant=text.instant,
        day=text.day,
        count=text.count,
        noun=text.noun,
        size=text.size,
        duration=text.duration,
        shortened=text.shortened,
    )
    environment.globals.update(
        wheel_path=text.wheel_path, pip_trust=text.pip_trust, uv_options=text.uv_options
    )
    return environment


def _finalize(value: Any) -> Any:
    """Make a stranger's text visible before it is escaped; what is markup is ours."""
    return value if isinstance(value, Markup) else text.visible(str(value))
