"""Rendering of templates: text is escaped, and its invisible characters are marked."""

import re
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from piwheels import formatting
from piwheels.causes.explanation import describe_build, summarize_build
from piwheels.causes.outcome_texts import outcome_label
from piwheels.model import target_words
from piwheels.recipes.facts import recipe_facts
from piwheels.website import assets, filters
from piwheels.website.log_links import build_log_path
from piwheels.website.template_compiler import FastEnvironment, shown

#: An option of a command, as `--index`.
_OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def render(template: str, *, root: str, **values: Any) -> bytes:
    """A page from a template.

    Args:
        template: its file name in templates/.
        root: the relative path from the page to the web root, see base.html.
        values: the template's variables.
    """
    page = _environment().get_template(template)
    return page.render(root=root, assets=assets.hashed_names(), **values).encode()


@cache
def _environment() -> Environment:
    environment = FastEnvironment(
        loader=PackageLoader("piwheels.website"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_marked,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        path=filters.url_segment,
        log_path=filters.log_path,
        build_log_path=build_log_path,
        moment=formatting.format_utc_minute,
        instant=formatting.format_rfc3339,
        day=formatting.format_date,
        count=formatting.format_count,
        noun=formatting.noun,
        size=formatting.format_decimal_size,
        duration=formatting.spell_duration,
        shortened=filters.truncate,
        target_words=target_words,
        unbroken=keep_bits_together,
        whole_options=keep_options_together,
    )
    environment.globals.update(
        wheel_path=filters.wheel_path,
        pip_trust=filters.trusted_host,
        uv_options=filters.uv_options,
        failure_summary=summarize_build,
        failure_text=describe_build,
        outcome_label=outcome_label,
        recipe_facts=recipe_facts,
    )
    return environment


def keep_bits_together(words: object) -> Markup:
    """A platform in words, escaped, in which no line ends within `64-bit`."""
    return _with_bits_together(str(words))


@lru_cache(maxsize=1000)
def _with_bits_together(words: str) -> Markup:
    whole = re.sub(r"\b\d\d-bit\b", r'<span class="nowrap">\g<0></span>', shown(words))
    return Markup(whole)  # noqa: S704 - escaped above


def keep_options_together(command: object) -> Markup:
    """A command, escaped, in which no line ends within `--index`."""
    whole = _OPTION.sub(r'<span class="nowrap">\g<0></span>', shown(command))
    return Markup(whole)  # noqa: S704 - escaped above


def _marked(value: Any) -> Any:
    """A constant of a template, before it is escaped."""
    return value if isinstance(value, Markup) else filters.mark_invisible(str(value))
