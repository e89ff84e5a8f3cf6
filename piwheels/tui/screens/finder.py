"""The finder: one line to type into, for every place and every action."""

import asyncio
from contextlib import suppress
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_count, noun
from piwheels.model import FailureGroup
from piwheels.protocol.commands.definition import Requirement
from piwheels.protocol.messages import FailuresReply, ListFailures, ProjectHits, SearchProjects
from piwheels.tui.model import finder
from piwheels.tui.model.action_types import Action, Group
from piwheels.tui.model.actions import FIND, SCREEN_ACTIONS, all_actions
from piwheels.tui.model.cause_finder import actions_on_causes, cause_entry
from piwheels.tui.model.farm_actions import farm_actions
from piwheels.tui.model.finder import FinderEntry
from piwheels.tui.model.finder_query import FinderQuery, parse_query
from piwheels.tui.model.key_names import key_labels
from piwheels.tui.screens.context import ConsoleContext
from piwheels.tui.widgets.click_text import clickable_keys
from piwheels.tui.widgets.finder_list import FinderList

#: The master is asked when so long no key was pressed.
_SEARCH_DELAY_S = 0.08
_PAGE_LINES = 8


def actions_on_projects() -> list[Action]:
    """The actions that can be done with a project or a release."""
    of_group = farm_actions(Group.PROJECTS)
    return [action for action in of_group if action.requires is Requirement.PROJECT]


def group_actions() -> list[Action]:
    """The actions that can be done with a group of failures."""
    of_group = farm_actions(Group.PROJECTS)
    return [action for action in of_group if action.requires is Requirement.FAILURES]


class FinderScreen(ModalScreen[FinderEntry | None]):
    """Returns the entry that was chosen, or None.

    Without a text it lists the screens and highlights none. The master is asked for projects only
    while a text is there, and its answer is dropped when another text was typed meanwhile.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Close"),
        Binding("up,ctrl+p", "move(-1)", show=False),
        Binding("down,ctrl+n", "move(1)", show=False),
        Binding("pageup", f"move(-{_PAGE_LINES})", show=False),
        Binding("pagedown", f"move({_PAGE_LINES})", show=False),
        Binding("tab", "fill_in", show=False),
    ]

    def __init__(self, console: ConsoleContext) -> None:
        super().__init__()
        self.console = console
        self._reply = ProjectHits(hits=(), projects=0)
        self._groups: tuple[FailureGroup, ...] = ()
        self._hits_for = ""  # the text that `_reply` answers
        self._was_moved = False  # the highlight, by the operator
        self._is_unanswered = False  # the master did not answer the last question
        self._opens_answer = False  # Enter was pressed before the answer came

    def compose(self) -> ComposeResult:
        """A line to type into, what was found, and what Enter does."""
        with Vertical(id="finder"):
            line = Input(
                placeholder="a screen, a builder, a target, a project, an action", compact=True
            )
            line.cursor_blink = False  # it would cost bytes while nothing is typed
            yield line
            yield FinderList(ascii_only=self.console.ascii_only)
            yield Static("", id="enter", markup=False)

    def on_mount(self) -> None:
        """Show the screens."""
        self.query_one(Input).focus()
        self.call_after_refresh(self._refresh)
        self._read_failures()

    def on_resize(self) -> None:
        """Lay the lines out for the new width."""
        self.call_after_refresh(self._list.redraw)

    @property
    def _list(self) -> FinderList:
        return self.query_one(FinderList)

    @property
    def _typed(self) -> str:
        return self.query_one(Input).value.strip()

    # --- what is found ---

    def _refresh(self) -> None:
        if not self.is_mounted:
            return
        found = self._found()
        highlighted = self._list.highlighted if self._was_moved else None
        if self._typed and not self._was_moved:
            highlighted = next(iter(found), None)
        self._list.show(found, highlighted, self._nothing_text())
        self._refresh_texts()

    def _nothing_text(self) -> str:
        """What an empty list says; nothing while the master is asked."""
        if not self._typed or self._typed != self._hits_for:
            return ""
        if self._is_unanswered:
            return "Nothing found here, and the master does not answer."
        return "Nothing found."

    def _found(self) -> list[FinderEntry]:
        console, typed = self.console, self._typed
        farms = [(context.name, context.address) for context in console.contexts]
        others = list(finder.other_farms(farms, console.context.name))
        if not typed:
            return [*finder.screens(), *others]
        targets = [queue.target for queue in console.farm.queues]
        hits = [
            finder.project_entry(hit, targets, ascii_only=console.ascii_only)
            for hit in self._reply.hits
        ]
        places = finder.places(console.farm, console.now, ascii_only=console.ascii_only)
        causes = [cause_entry(it, ascii_only=console.ascii_only) for it in self._groups]
        entries = (*places, *causes, *others, *self._action_entries())
        query = self._query(typed)
        found = finder.find_entries(entries, hits, typed, query.project)
        on_project = self._project_actions(query)
        # Who names an action means it; else places come first.
        first = self._named_actions(query, on_project) if query.verb else []
        last = [] if query.verb else on_project
        return [*first, *self._releases(query), *found, *last][: finder.MAX_ENTRIES]

    @staticmethod
    def _query(typed: str) -> FinderQuery:
        actions = (*group_actions(), *actions_on_projects())
        return parse_query(typed, [action.label for action in actions])

    def _named_actions(
        self, query: FinderQuery, on_project: list[FinderEntry]
    ) -> list[FinderEntry]:
        """The actions that a verb means; a project that begins so is meant before a cause."""
        actions = [action for action in group_actions() if self.console.may_send(action)]
        if not actions or not query.project:
            return on_project
        on_causes = actions_on_causes(self._groups, actions, query.verb, query.project)
        is_project = any(hit.project.startswith(query.project) for hit in self._reply.hits[:1])
        return [*on_project, *on_causes] if is_project else [*on_causes, *on_project]

    def _releases(self, query: FinderQuery) -> list[FinderEntry]:
        """The release that was typed, of the project that was found first."""
        if not query.version or not self._reply.hits:
            return []
        hit = self._reply.hits[0]
        return [finder.release_entry(hit.project, finder.matching_version(hit, query.version))]

    def _action_entries(self) -> list[FinderEntry]:
        console = self.console
        return [
            finder.action_entry(action, self._note(action))
            for action in all_actions()
            if action not in (FIND, *SCREEN_ACTIONS) and console.is_available(action) is not False
        ]

    def _note(self, action: Action) -> str:
        console = self.console
        keys = " or ".join(key_labels(console.keys_for(action)))
        keys = f"{keys}: " if keys else ""
        if console.is_available(action) is None:
            return f"{keys}not now. {console.unavailable_reason(action)}"
        return f"{keys}{console.help_for(action)}"

    def _project_actions(self, query: FinderQuery) -> list[FinderEntry]:
        """What can be done with the first project, where the master lets this console do it."""
        if not self._reply.hits:
            return []
        hit = self._reply.hits[0]
        version = finder.matching_version(hit, query.version) if query.version else ""
        actions = [action for action in actions_on_projects() if self.console.may_send(action)]
        return list(finder.actions_on_project(hit.project, actions, version, query.verb))

    def _refresh_texts(self) -> None:
        entry = self._list.highlighted
        keys = [("Esc: close", "screen.cancel")]
        if entry:
            tab = ("  Tab: fill in  ", "screen.fill_in")
            keys = [(f"Enter: {entry.opens}", "screen.choose"), tab, *keys]
        self.query_one("#enter", Static).update(clickable_keys(keys))
        reply, box = self._reply, self.query_one("#finder")
        count = f"{len(reply.hits)}{'+' if reply.more else ''}"
        found = f"{count} {noun(len(reply.hits), 'project')}"
        of_all = f"{found} of {format_count(reply.projects)}" if reply.projects else ""
        box.border_title = "Find"
        box.border_subtitle = of_all

    # --- the master ---

    @work(group="failures")
    async def _read_failures(self) -> None:
        """Ask once what fails; without an answer no cause is found."""
        with suppress(PiwheelsError):
            reply = await self.console.source.request(ListFailures(), FailuresReply)
            self._groups = reply.groups
            self._refresh()

    @on(Input.Changed)
    def _text_changed(self) -> None:
        self._was_moved = self._opens_answer = False
        if not self._typed:
            self._reply, self._hits_for = ProjectHits(hits=(), projects=0), ""
        self._refresh()
        self._search(self._typed)

    @work(exclusive=True)
    async def _search(self, typed: str) -> None:
        """Ask the master; a former question is given up."""
        if not typed or typed == self._hits_for:
            return
        await asyncio.sleep(_SEARCH_DELAY_S)
        try:
            text = self._query(typed).project
            reply = await self.console.source.request(SearchProjects(text=text), ProjectHits)
            self._is_unanswered = False
        except PiwheelsError:  # what the console knows itself is offered without a master
            reply = ProjectHits(hits=(), projects=0)
            self._is_unanswered = True
        if typed != self._typed or not self.is_mounted:
            return
        self._reply, self._hits_for = reply, typed
        self._refresh()
        if self._opens_answer:
            self._open_place()

    # --- keys and clicks ---

    @on(Input.Submitted)
    def action_choose(self) -> None:
        """Open the highlighted entry, or what the master is still asked for."""
        entry = self._list.highlighted
        if self._typed and self._typed != self._hits_for and not self._was_moved:
            self._opens_answer = True  # the first entry may be another when the master answers
        elif entry is not None:
            self.dismiss(entry)

    def _open_place(self) -> None:
        """Open what was asked for before it was found; an action has to be seen first."""
        self._opens_answer = False
        entry = self._list.highlighted
        if entry is not None and entry.action is None:
            self.dismiss(entry)

    @on(FinderList.Chosen)
    def _clicked(self, event: FinderList.Chosen) -> None:
        self.dismiss(event.entry)

    def action_move(self, by: int) -> None:
        """Move the highlight."""
        self._was_moved = True
        self._list.move(by)
        self._refresh_texts()

    def action_fill_in(self) -> None:
        """Complete the text with the highlighted entry's name."""
        if (entry := self._list.highlighted) is not None:
            line = self.query_one(Input)
            line.value = entry.name
            line.cursor_position = len(entry.name)

    def on_click(self, event: events.Click) -> None:
        """Close it by a click beside it."""
        if self.get_widget_at(*event.screen_offset)[0] is self:
            self.action_cancel()

    def action_cancel(self) -> None:
        """Close it; nothing is done."""
        self.dismiss(None)
