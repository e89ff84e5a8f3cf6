"""Compiles templates to code that renders pages faster than what Jinja2 makes by default.

A page of a project has hundreds of values. By default each attribute, call and value goes through
several functions of Jinja2, for features that the templates of the website do not use: attributes
that stand for items, functions that are given the context, autoescaping that is switched within a
template. Here an attribute is an attribute, a call is a call, and text that needs no escaping is
written as it is. The pages are the same, byte by byte.
"""

import keyword
import re
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame, MacroRef
from jinja2.runtime import Macro, markup_join
from jinja2.utils import missing
from markupsafe import Markup, escape

from piwheels.website import filters

#: Text without invisible characters, and without those that HTML escapes.
_is_plain = re.compile(r"[\w .,:;/()\[\]{}+=@#%?!*|~-]*", re.ASCII).fullmatch


def shown(value: Any) -> str:
    """A value as HTML: text is escaped, its invisible characters are marked; markup is trusted."""
    if value.__class__ is not str:
        if isinstance(value, Markup):
            return value
        value = str(value)
    return value if _is_plain(value) else str(escape(filters.mark_invisible(value)))


def joined(*parts: Any) -> str:
    """What `~` makes of values: markup if one of them is."""
    for part in parts:
        if isinstance(part, Markup):
            return markup_join(parts)
    return "".join(map(str, parts))


class _Macro(Macro):
    """A macro that is called with arguments by position, without looking at each."""

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        lacking = self._argument_count - len(args)
        if kwargs or lacking < 0 or self.caller or self.catch_kwargs or self.catch_varargs:
            return super().__call__(*args, **kwargs)
        return str.__new__(Markup, self._func(*args, *(missing,) * lacking))


def _faster_macro(macro: Macro) -> Macro:
    macro.__class__ = _Macro
    return macro


class _Generator(CodeGenerator):
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - of Jinja2
        if keyword.iskeyword(node.attr):
            super().visit_Getattr(node, frame)
            return
        self.write("(")
        self.visit(node.node, frame)
        self.write(f").{node.attr}")

    def visit_Call(  # noqa: N802 - of Jinja2
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        if forward_caller or node.dyn_args or node.dyn_kwargs:
            super().visit_Call(node, frame, forward_caller=forward_caller)
            return
        self.write("(")
        self.visit(node.node, frame)
        self.write(")(")
        for argument in (*node.args, *node.kwargs):
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - of Jinja2
        self.write("environment.joined(")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write(")")

    def macro_def(self, macro_ref: MacroRef, frame: Frame) -> None:
        self.write("environment.faster_macro(")
        super().macro_def(macro_ref, frame)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_pre(node, frame, finalize)
        else:
            self.write("environment.shown(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.volatile or not frame.eval_ctx.autoescape:
            super()._output_child_post(node, frame, finalize)
        else:
            self.write(")")


class FastEnvironment(Environment):
    """An environment whose templates have no functions that want the context."""

    code_generator_class = _Generator
    shown = staticmethod(shown)
    joined = staticmethod(joined)
    faster_macro = staticmethod(_faster_macro)
