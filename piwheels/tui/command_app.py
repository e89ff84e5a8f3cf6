"""An app that tells whether an action can be done, and sends the commands of some actions."""

from functools import partial

from textual import work

from piwheels.errors import PiwheelsError
from piwheels.formatting import format_unix_time, join_words
from piwheels.protocol.commands.definition import Requirement
from piwheels.protocol.messages import RequestBody
from piwheels.tui.farm_session import FarmSession
from piwheels.tui.model import actions, commands
from piwheels.tui.model.action_targets import alert_target
from piwheels.tui.model.action_types import Action, ActionTarget
from piwheels.tui.model.command_status import CommandStatus
from piwheels.tui.model.navigation import ScreenName
from piwheels.tui.navigation_app import NavigationApp
from piwheels.tui.screens.dialogs import ConfirmDialog


class CommandApp(NavigationApp):
    """Actions on the rows of the screen, and the commands that they send."""

    def is_available(self, action: Action) -> bool | None:
        """Whether an action can be done; None is not now, False is not on this screen."""
        here = self.current_screen.screen_name
        if action.screens and here not in action.screens:
            return False
        if action.requires is Requirement.RECORDING:
            return self.replay is not None
        if action is actions.SWITCH_FARM:
            return len(self.contexts) > 1
        if action in {actions.SEEK_BACK, actions.SEEK_FORWARD} and self.replay is None:
            earlier = self.session.has_earlier and self.farm.has_snapshot
            possible = earlier if action is actions.SEEK_BACK else self.recorded_at is not None
            return possible or None
        if here not in actions.SCREENS_WITH.get(action.requires, (here,)):
            return False
        if not self.may_send(action):
            return None
        if action.requires in {Requirement.NOTHING, Requirement.TABLE}:
            return True
        if self.targets_for(action):
            return True
        # Few rows of other screens have an alert: its keys are shown for those alone.
        hidden = action.requires is Requirement.ALERT and here not in actions.WITH_ALERTS
        return False if hidden else None

    def may_send(self, action: Action) -> bool:
        """Whether this console and its role allow an action; what sends nothing is allowed."""
        if action.command is None:
            return True
        return not self.source.read_only and self.farm.role.includes(action.command.role)

    def unavailable_reason(self, action: Action) -> str:
        """Why an action cannot be done now, in one line."""
        if action in {actions.SEEK_BACK, actions.SEEK_FORWARD}:
            is_back = action is actions.SEEK_BACK
            return "Nothing earlier was kept." if is_back else "This is now; < steps back."
        if action is actions.SWITCH_FARM:
            return "console.toml has no other farm ([contexts])."
        if action.changes_farm and self.recorded_at is not None:
            shown = format_unix_time(self.recorded_at)[:5]
            return f"{action.label} changes the farm, and {shown} is shown; Esc returns to now."
        if action.changes_farm and self.source.read_only:
            return f"{action.label} changes the farm, and this console is read-only."
        if action.command is not None and not self.may_send(action):
            needed, own = action.command.role, self.farm.role
            return f"{action.label} needs the role {needed}, and this console has {own}."
        if action.screens and self.current_screen.screen_name not in action.screens:
            where = join_words([screen.capitalize() for screen in action.screens])
            return f"{action.label} is a key of {where}."
        ended = [target.note for target in self.current_screen.action_targets() if target.has_ended]
        if action.requires is Requirement.BUILDER and ended:
            return ended[0]
        return f"{action.label} requires {action.requires or 'another screen'}."

    def targets_for(self, action: Action) -> tuple[ActionTarget, ...]:
        """What an action applies to: the rows or the alerts of the screen that it fits."""
        if action.requires is Requirement.NOTHING:
            return ()
        if action.requires is Requirement.ALERT:
            return tuple(map(alert_target, self.current_screen.alerts_here()))
        targets = self.current_screen.action_targets()
        return tuple(target for target in targets if target.satisfies(action.requires))

    @work
    async def confirm_and_send(
        self, action: Action, target: ActionTarget | None = None, *, always: bool = False
    ) -> None:
        """Ask for confirmation where it is required, and send the commands.

        Args:
            action: what to do.
            target: what to do it to; None is the rows of the screen.
            always: ask in any case.
        """
        session, screen = self.session, self.current_screen
        chosen = (target,) if target else self.targets_for(action)
        try:
            targets = await screen.command_targets(chosen)
        except PiwheelsError as error:
            self.notify(f"{action.label}: not sent: {error}", severity="error", markup=False)
            return
        confirmation = commands.confirmation_for(
            action,
            targets,
            hidden_count=screen.hidden_mark_count() if targets else 0,
            all_builders=frozenset(it.view.label for it in self.farm.present_builders),
            always=always,
        )
        answer: str | None = ""
        if confirmation is not None:
            answer = await self.push_screen_wait(ConfirmDialog(confirmation, screen.make_room))
            screen.make_room(None)
        if answer is None:
            self.notify(f"{action.label} canceled, nothing was sent.", markup=False)
            return
        if session is not self.session:
            text = f"{action.label}: not sent: another farm is shown now"
            self.notify(text, severity="error", markup=False)
            return
        running = {label: builder.view.build for label, builder in self.farm.builders.items()}
        applicable = commands.still_applicable(action, targets, running)
        skipped = commands.skipped_text(targets, applicable)
        if targets and not applicable:
            self.notify(f"{action.label}: {skipped}.", severity="warning", markup=False)
            return
        screen.clear_marks()
        for body, description in commands.build_messages(action, applicable, answer):
            self.send(body, f"{description} ({skipped})" if skipped else description)

    @work
    async def send(self, body: RequestBody, description: str) -> None:
        """Send a command; each change of its state is shown."""
        session = self.session
        await session.source.command(
            body,
            description=description,
            on_update=partial(self.handle_command_update, session),
        )

    def handle_command_update(self, session: FarmSession, status: CommandStatus) -> None:
        """Show that a command's state has changed; of a farm that was left, its result."""
        if session is not self.session:
            if status.is_final:
                text = f"{session.context.name}: {status.line}"
                self.notify(text, severity="warning", markup=False)
            return
        self.command_history.update(status)
        self.dismiss_message()  # what the command answers is newer
        screen = self.current_screen
        screen.refresh_bars()
        if status.is_final:
            screen.on_command_finished()
        if screen.screen_name is ScreenName.COMMANDS:
            screen.refresh_content()
