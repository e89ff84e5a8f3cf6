"""The causes of failures in the finder: a group to go to, and what can be done with it."""

from collections.abc import Iterable, Sequence

from piwheels.formatting import pluralize
from piwheels.model import FailureGroup
from piwheels.tui.model.action_types import Action
from piwheels.tui.model.finder import FinderEntry, Kind, asks_first, match_rank
from piwheels.tui.model.glyphs import glyph
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.model.tables.failures import cause_text, failure_key, group_target
from piwheels.tui.model.terminal_text import terminal_safe

#: So many groups are offered with an action: others are found by more letters.
_MAX_ACTIONS = 4


def cause_entry(group: FailureGroup, *, ascii_only: bool) -> FinderEntry:
    """A group of failures; it is found by what was missing, its packages and its class, too."""
    name = cause_text(group)
    counts = f"{pluralize(group.releases, 'release')}, {pluralize(group.targets, 'target')}"
    words = (group.failure_class, group.cause, group.reason, *group.missing, *group.packages)
    return FinderEntry(
        Kind.FAILURE,
        name,
        f"{glyph('bad', ascii_only=ascii_only)} {terminal_safe(group.failure_class)}  {counts}",
        f"go to the failures for {name}",
        ScreenName.FAILURES,
        cursor=failure_key(group),
        words=" ".join(words),
    )


def actions_on_causes(
    groups: Sequence[FailureGroup], actions: Iterable[Action], verb: str, text: str
) -> list[FinderEntry]:
    """The actions that a verb means, on the groups that a text finds, the best matches first."""
    chosen = [it for it in actions if verb and it.label.casefold().startswith(verb)]
    ranked = sorted(
        (rank, place)
        for place, group in enumerate(groups)
        if (rank := match_rank(cause_entry(group, ascii_only=True), text)) is not None
    )
    found = [groups[place] for _, place in ranked[:_MAX_ACTIONS]]
    return [_action_entry(action, group) for group in found for action in chosen]


def _action_entry(action: Action, group: FailureGroup) -> FinderEntry:
    target = group_target(group)
    label = f"{action.label}: {target.name}"
    return FinderEntry(
        Kind.ACTION,
        label,
        f"{pluralize(group.releases, 'release')}, changes the farm, asks first",
        asks_first(label),
        ScreenName.FAILURES,
        cursor=target.key,
        action=action,
        target=target,
    )
