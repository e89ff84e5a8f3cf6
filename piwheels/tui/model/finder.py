"""What the finder offers: places to go to, then actions, the best matches first."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from piwheels.formatting import format_count, format_short_duration
from piwheels.model import ProjectHit, short_target_name
from piwheels.protocol.commands.definition import Scope
from piwheels.protocol.messages import BuilderView
from piwheels.tui.model.action_targets import running_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.actions import SCREEN_ACTIONS
from piwheels.tui.model.glyphs import glyph
from piwheels.tui.model.navigation import NO_FILTER, ScreenFilter, ScreenName
from piwheels.tui.model.state import FarmState
from piwheels.tui.model.terminal_text import terminal_safe

#: So many entries are listed at most: what is searched for is among the first, or is typed on.
MAX_ENTRIES = 40
_MAX_ACTIONS_OF_PROJECT = 8


class Kind(StrEnum):
    """What an entry is; the first kinds come first where entries match alike."""

    SCREEN = "screen"
    FARM = "farm"
    BUILDER = "builder"
    TARGET = "target"
    PROJECT = "project"
    BUILD = "build"
    FAILURE = "failure"
    ACTION = "action"


#: Of a builder whose name is written otherwise: after names that begin with what was typed.
_LOOSE_RANK = 2
_KIND_ORDER = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class FinderEntry:
    """A place or an action; an action with a `target` is applied to that, not to the rows."""

    kind: Kind
    name: str
    note: str = ""
    opens: str = ""  # what Enter does: "open the page of numpy"
    screen_name: ScreenName | None = None
    screen_filter: ScreenFilter = NO_FILTER
    cursor: str = ""
    context: str = ""  # the name of another farm
    action: Action | None = None
    target: ActionTarget | None = None
    words: str = ""  # what else it is found by

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other entries."""
        return self.kind, self.name


def match_rank(entry: FinderEntry, typed: str) -> int | None:
    """How well an entry matches, 0 is best; None if it does not."""
    rank = _text_rank(entry, typed)
    if entry.kind is not Kind.BUILDER or (rank is not None and rank < _LOOSE_RANK):
        return rank
    name, text = _builder_name(entry.name), _builder_name(typed)
    return _LOOSE_RANK if text and name.startswith(text) else rank


def _builder_name(text: str) -> str:
    """A builder's name as it is remembered: `pi-17`, `pi17` and `PI_017` are one."""
    numbers = re.sub(r"(?<!\d)0+(?=\d)", "", text.casefold())
    return re.sub(r"[-_.\s]", "", numbers)


def _text_rank(entry: FinderEntry, typed: str) -> int | None:
    name, text = entry.name.casefold(), " ".join(typed.casefold().split())
    if name == text:
        return 0
    if name.startswith(text):
        return 1
    words = text.split()
    starts = name.replace("-", " ").split()
    if all(any(start.startswith(word) for start in starts) for word in words):
        return 2
    if all(word in name for word in words):
        return 3
    if has_letters(name, text.replace(" ", "")):
        return 4
    return 5 if text in entry.words.casefold() else None


def has_letters(name: str, letters: str) -> bool:
    """Whether a name has these letters in this order."""
    rest = iter(name)
    return all(letter in rest for letter in letters)


def find_entries(
    entries: Iterable[FinderEntry],
    hits: Sequence[FinderEntry],
    typed: str,
    project: str | None = None,
) -> list[FinderEntry]:
    """The entries that match, with the projects that the master found, the best first.

    `project` is what the projects are compared with, if that is not all that was typed.
    """
    texts = [(entry, typed) for entry in entries]
    texts += [(hit, project or typed) for hit in hits]
    ranked = [
        (entry.action is not None, rank, _KIND_ORDER[entry.kind], place, entry)
        for place, (entry, text) in enumerate(texts)
        if (rank := match_rank(entry, text)) is not None
    ]
    ranked.sort(key=lambda it: it[:-1])
    return [entry for *_, entry in ranked[:MAX_ENTRIES]]


# --- places ---


def _running_release(view: BuilderView) -> str:
    return f"{view.project} {view.release_version}" if view.build is not None else ""


def places(farm: FarmState, now: float, *, ascii_only: bool) -> Iterator[FinderEntry]:
    """Screens, builders, targets and running builds."""
    yield from screens()
    builders = sorted(farm.builders.values(), key=lambda it: it.view.label)
    for builder in builders:
        view = builder.view
        label = terminal_safe(view.label)
        state = f"{glyph(view.state, ascii_only=ascii_only)} {view.state}"
        at_work = terminal_safe(_running_release(view))
        yield FinderEntry(
            Kind.BUILDER,
            label,
            "  ".join(filter(None, (state, at_work))),
            f"show the builder {label}",
            ScreenName.BUILDER,
            ScreenFilter(builder=view.label),
        )
    for queue in farm.queues:
        name = terminal_safe(queue.target)
        note = f"{format_count(queue.pending)} waiting"
        yield FinderEntry(
            Kind.TARGET,
            name,
            note,
            f"go to the queue of {name}",
            ScreenName.QUEUES,
            cursor=queue.target,
        )
    for builder in builders:
        view = builder.view_at(now)
        if view.build is None:
            continue
        target = running_target(view.label, view)
        spent = format_short_duration(view.build_s)
        state = glyph(view.state, ascii_only=ascii_only)
        yield FinderEntry(
            Kind.BUILD,
            terminal_safe(_running_release(view)),
            f"{state} {view.state} on {target.name}, {spent}",
            f"open the log of build {view.build}",
            ScreenName.LOG,
            ScreenFilter(
                build=view.build,
                project=view.project,
                version=view.release_version,
                target=view.target,
            ),
        )


def screens() -> Iterator[FinderEntry]:
    """The screens that can be shown without a row."""
    for action in SCREEN_ACTIONS:
        if action.opens not in {ScreenName.LOG, ScreenName.EXPLAIN}:
            yield FinderEntry(
                Kind.SCREEN,
                action.label,
                action.help,
                f"show {action.label}",
                action.opens,
                words=action.help,
            )


def other_farms(contexts: Iterable[tuple[str, str]], current: str) -> Iterator[FinderEntry]:
    """The farms to switch to, by their names and addresses."""
    for name, address in contexts:
        if name != current:
            yield FinderEntry(
                Kind.FARM,
                terminal_safe(name),
                f"switch to {terminal_safe(address)}",
                f"leave {terminal_safe(current)}, and show {terminal_safe(name)}",
                context=name,
                words="farm context",
            )


def project_entry(hit: ProjectHit, targets: Sequence[str], *, ascii_only: bool) -> FinderEntry:
    """A project that the master found; `targets` are those of the farm."""
    note = _project_note(hit, targets, ascii_only=ascii_only)
    return _page_entry(terminal_safe(hit.project), note, ScreenFilter(project=hit.project))


def _page_entry(name: str, note: str, scope: ScreenFilter) -> FinderEntry:
    opens = f"open the page of {name}"
    return FinderEntry(Kind.PROJECT, name, note, opens, ScreenName.EXPLAIN, scope)


def _project_note(hit: ProjectHit, targets: Sequence[str], *, ascii_only: bool) -> str:
    if not hit.version:
        return "no release"
    version = terminal_safe(hit.version)
    covered = f"{version} on {hit.covered} of {hit.targets} targets"
    return "  ".join(filter(None, (covered, _what_is_open(hit, targets, ascii_only=ascii_only))))


def _what_is_open(hit: ProjectHit, targets: Sequence[str], *, ascii_only: bool) -> str:
    if hit.skip_reason is not None:
        return terminal_safe(f"skipped: {hit.skip_reason}")
    if hit.builder:
        state = glyph("building", ascii_only=ascii_only)
        return f"{state} building on {terminal_safe(hit.builder)}"
    if hit.queued_target:
        return f"{terminal_safe(short_target_name(hit.queued_target, targets))} waits"
    if hit.failure_class:
        failed = glyph("bad", ascii_only=ascii_only)
        return f"{failed} {terminal_safe(hit.failure_class)}"
    return ""


# --- actions ---


def action_entry(action: Action, note: str) -> FinderEntry:
    """An action on what the screen shows; the note says what it does, or why it cannot."""
    return FinderEntry(
        Kind.ACTION,
        action.label,
        note,
        asks_first(action.label) if action.changes_farm else action.help.rstrip("."),
        action=action,
        words=action.help,
    )


def release_entry(project: str, version: str) -> FinderEntry:
    """A release, which the farm may not have: its page says so."""
    name = terminal_safe(f"{project} {version}")
    return _page_entry(name, "this release alone", ScreenFilter(project=project, version=version))


def matching_version(hit: ProjectHit, typed: str) -> str:
    """The newest release if what was typed is its beginning, else what was typed."""
    newest = hit.version
    is_begin = newest == typed or newest.startswith(f"{typed}.")
    return newest if is_begin else typed


def actions_on_project(
    project: str, actions: Iterable[Action], version: str = "", verb: str = ""
) -> Iterator[FinderEntry]:
    """The actions on a project, or on a release of it; with a verb, those whose label it is.

    What an action does to whole projects alone is told with the project's name.
    """
    chosen = [action for action in actions if not verb or action.label.casefold() == verb]
    for action in chosen[:_MAX_ACTIONS_OF_PROJECT]:
        of_project = action.console is not None and action.console.scope is Scope.PROJECT
        name = terminal_safe(project if of_project else f"{project} {version}".strip())
        target = ActionTarget(key=name, name=name, project=project, version=version)
        label = f"{action.label} {name}"
        yield FinderEntry(
            Kind.ACTION,
            label,
            "changes the farm, asks first",
            asks_first(label),
            action=action,
            target=target,
        )


def asks_first(label: str) -> str:
    """What Enter does with an action that changes the farm."""
    return f"{label}, which asks first"
