"""The console's actions on a recording that it plays."""

from piwheels.tui.client.replay import MAX_SPEED, MIN_SPEED, Replay
from piwheels.tui.client.source import EventSource
from piwheels.tui.model.formatting import format_unix_time

#: How far one key goes.
SEEK_S = 60.0


class ReplayMixin:
    """What a console can do with a recording; nothing while its source is a master."""

    source: EventSource

    def schedule_refresh(self) -> None:
        """Show what has changed."""
        raise NotImplementedError

    @property
    def replay(self) -> Replay | None:
        """The recording that is played, or None when there is a master."""
        return self.source if isinstance(self.source, Replay) else None

    def do_play(self) -> None:
        """Hold the recording, or let it go on; from the beginning when it is at its end."""
        if self.replay:
            self.replay.toggle()
            self.schedule_refresh()

    def do_step(self) -> None:
        """One change further, and hold."""
        if self.replay:
            self.replay.step()
            self.schedule_refresh()

    def do_seek_back(self) -> None:
        """A minute back."""
        self._seek(-SEEK_S)

    def do_seek_on(self) -> None:
        """A minute on."""
        self._seek(SEEK_S)

    def do_slower(self) -> None:
        """At half the speed."""
        self._scale_speed(0.5)

    def do_faster(self) -> None:
        """At twice the speed."""
        self._scale_speed(2.0)

    def _seek(self, by_s: float) -> None:
        if self.replay:
            self.replay.seek_by(by_s)
            self.schedule_refresh()

    def _scale_speed(self, times: float) -> None:
        if self.replay:
            self.replay.set_speed(self.replay.speed * times)
            self.schedule_refresh()


def replay_position(replay: Replay) -> str:
    """Where a recording is, in words: `12:03:44 of 12:00:00 to 13:00:00, held`."""
    now, span = (
        format_unix_time(replay.now()),
        f"{format_unix_time(replay.begin)} to {format_unix_time(replay.end)}",
    )
    if replay.paused:
        return f"{now} of {span}, held"
    if replay.at_end:
        return f"{now} of {span}, at its {'broken ' if replay.problem else ''}end"
    return f"{now} of {span}{_speed_text(replay.speed)}"


def _speed_text(speed: float) -> str:
    if speed == 1.0:
        return ""
    told = f"{speed:g}" if speed >= 1 else f"1/{1 / speed:g}"
    return f", {told} times as fast" + (" (the most)" if speed in {MIN_SPEED, MAX_SPEED} else "")
