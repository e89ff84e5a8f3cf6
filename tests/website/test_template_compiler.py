"""Templates are compiled to faster code, whose pages are those of Jinja2's own."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jinja2 import Environment, UndefinedError
from jinja2.compiler import CodeGenerator
from markupsafe import Markup

from piwheels.website import html
from piwheels.website.page_data import ProjectData
from piwheels.website.project_page import render_project
from piwheels.website.site_pages import static_pages
from piwheels.website.template_compiler import FastEnvironment, shown
from tests.website.factories import HOSTILE, SHOWN, SITE, built_project, hostile_project

_ATOM = "http://www.w3.org/2005/Atom"


def _with_usual_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have templates compiled as Jinja2 does it, from here on."""
    monkeypatch.setattr(FastEnvironment, "code_generator_class", CodeGenerator)
    html._environment.cache_clear()


@pytest.mark.parametrize("content", [built_project(), hostile_project()])
def test_pages_are_those_of_the_usual_code(
    content: ProjectData, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = render_project(SITE, content) | static_pages(SITE)
    with monkeypatch.context() as patch:
        _with_usual_code(patch)
        try:
            assert render_project(SITE, content) | static_pages(SITE) == pages
        finally:
            html._environment.cache_clear()


@pytest.mark.parametrize(
    "value", [HOSTILE, "plain", "", "ünï", "a & b", "tab\t", None, 7, Markup("<b>"), "'", '"', "`"]
)
def test_values_are_shown_as_by_the_usual_code(value: object) -> None:
    usual = Environment(autoescape=True, finalize=html._marked).from_string("{{ value }}")
    assert shown(value) == usual.render(value=value)


@pytest.mark.parametrize("value", [HOSTILE, "plain", 7, Markup("<b>&amp;</b>")])
def test_values_are_joined_as_by_the_usual_code(value: object) -> None:
    source = "{{ 'a & ' ~ value ~ 1 ~ '<' }}"
    usual = Environment(autoescape=True, finalize=html._marked).from_string(source)
    faster = FastEnvironment(autoescape=True).from_string(source)
    assert faster.render(value=value) == usual.render(value=value)


def test_hostile_text_is_escaped_and_marked() -> None:
    assert shown(HOSTILE) == str(Markup.escape(SHOWN))


@pytest.mark.parametrize("call", ["m(1)", "m(1, 2)", "m(1, b=2)", "m(b=2, a=1)", "m(*[1, 2])"])
def test_macros_take_arguments_by_position_and_by_name(call: str) -> None:
    source = f"{{% macro m(a, b='<') %}}{{{{ a }}}}{{{{ b }}}}&{{% endmacro %}}{{{{ {call} }}}}"
    usual = Environment(autoescape=True).from_string(source).render()
    assert FastEnvironment(autoescape=True).from_string(source).render() == usual


@pytest.mark.parametrize("source", ["{{ m(1, 2, 3) }}", "{{ m(1, c=2) }}"])
def test_macros_reject_arguments_that_they_do_not_take(source: str) -> None:
    macro = "{% macro m(a, b=0) %}{{ a }}{% endmacro %}"
    with pytest.raises(TypeError, match="macro 'm' takes no"):
        FastEnvironment(autoescape=True).from_string(macro + source).render()


def test_a_missing_attribute_is_an_error() -> None:
    environment = FastEnvironment(autoescape=True)
    with pytest.raises(AttributeError, match="nothing"):
        environment.from_string("{{ value.nothing }}").render(value=Path("x"))
    with pytest.raises(UndefinedError, match="other"):
        environment.from_string("{{ other.nothing }}").render()


@pytest.mark.parametrize("content", [built_project(), hostile_project()])
def test_a_feed_is_written_as_an_xml_library_would(content: Any) -> None:
    feed = render_project(SITE, content)["feed.atom"]
    ET.register_namespace("", _ATOM)
    again: bytes = ET.tostring(ET.fromstring(feed), encoding="utf-8", xml_declaration=True)
    assert feed == again + b"\n"
