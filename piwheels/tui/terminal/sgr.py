"""SGR escape sequences (ECMA-48) between styles, in as few bytes as possible."""

from functools import lru_cache
from typing import NamedTuple

from rich.color import Color, ColorSystem
from rich.style import Style

#: The codes of attributes by Rich's bit, and the codes that end them.
_CODES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "21", "51", "52", "53")
_END_CODES = ("22", "22", "23", "24", "25", "25", "27", "28", "29", "24", "54", "54", "55")


class SgrState(NamedTuple):
    """The style of a cell: attributes as Rich's bits, colors as SGR codes, a link."""

    attributes: int = 0
    foreground: str = ""
    background: str = ""
    link: str = ""


#: The style after a reset.
DEFAULT_SGR = SgrState()

# Equal states are one object, so that cells can be compared by identity.
_POOL: dict[SgrState, SgrState] = {DEFAULT_SGR: DEFAULT_SGR}
_MAX_POOL_SIZE = 50_000


@lru_cache(maxsize=8192)
def sgr_state(style: Style, system: ColorSystem) -> SgrState:
    """The SGR state of a style."""
    pen = SgrState(
        style._attributes & style._set_attributes,  # noqa: SLF001 no other way to all bits
        _color_codes(style.color, system, foreground=True),
        _color_codes(style.bgcolor, system, foreground=False),
        style.link or "",
    )
    if len(_POOL) > _MAX_POOL_SIZE:
        _POOL.clear()
        _POOL[DEFAULT_SGR] = DEFAULT_SGR
    return _POOL.setdefault(pen, pen)


def _color_codes(color: Color | None, system: ColorSystem, *, foreground: bool) -> str:
    if color is None:
        return ""
    codes = ";".join(color.downgrade(system).get_ansi_codes(foreground))
    return "" if codes in {"39", "49"} else codes


@lru_cache(maxsize=8192)
def transition(old: SgrState, new: SgrState) -> str:
    """The shortest sequence from one style to another."""
    ways = [_reset_sequence(new), _delta_sequence(old, new)]
    style = min(ways, key=len)
    link = "" if old.link == new.link else f"\x1b]8;;{new.link}\x1b\\"
    return link + style


def _reset_sequence(pen: SgrState) -> str:
    codes = [*_attribute_codes(pen.attributes), pen.foreground, pen.background]
    after = ";".join(code for code in codes if code)
    return f"\x1b[0;{after}m" if after else "\x1b[m"


def _delta_sequence(old: SgrState, new: SgrState) -> str:
    codes: list[str] = []
    kept = old.attributes & new.attributes
    for code, bit in _end_codes(old.attributes & ~new.attributes):
        if code not in codes:
            codes.append(code)
        # A code that ends one attribute may end another one, which then has to be set again.
        kept &= ~sum(1 << n for n, end in enumerate(_END_CODES) if end == code and n != bit)
    codes += _attribute_codes(new.attributes & ~kept)
    if old.foreground != new.foreground:
        codes.append(new.foreground or "39")
    if old.background != new.background:
        codes.append(new.background or "49")
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _end_codes(attributes: int) -> list[tuple[str, int]]:
    return [(end, bit) for bit, end in enumerate(_END_CODES) if attributes & 1 << bit]


def _attribute_codes(attributes: int) -> list[str]:
    return [code for bit, code in enumerate(_CODES) if attributes & 1 << bit]
