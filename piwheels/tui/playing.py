"""The console's actions on a recording that it plays."""

from piwheels.tui.replay import FASTEST, SLOWEST, Replay
from piwheels.tui.source import Source
from piwheels.tui.text import clock_of

#: How far one key goes.
SEEK_S = 60.0


class Playing:
    """What a console can do with a recording; nothing while its source is a master."""

    source: Source

    def paint_soon(self) -> None:
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
            self.paint_soon()

    def do_step(self) -> None:
        """One change further, and hold."""
        if self.replay:
            self.replay.step()
            self.paint_soon()

    def do_seek_back(self) -> None:
        """A minute back."""
        self._seek(-SEEK_S)

    def do_seek_on(self) -> None:
        """A minute on."""
        self._seek(SEEK_S)

    def do_slower(self) -> None:
        """At half the speed."""
        self._at_speed(0.5)

    def do_faster(self) -> None:
        """At twice the speed."""
        self._at_speed(2.0)

    def _seek(self, by_s: float) -> None:
        if self.replay:
            self.replay.seek_by(by_s)
            self.paint_soon()

    def _at_speed(self, times: float) -> None:
        if self.replay:
            self.replay.set_speed(self.replay.speed * times)
            self.paint_soon()


def where(replay: Replay) -> str:
    """Where a recording is, in words: `12:03:44 of 12:00:00 to 13:00:00, held`."""
    now, span = clock_of(replay.now()), f"{clock_of(replay.begin)} to {clock_of(replay.end)}"
    if replay.paused:
        return f"{now} of {span}, held"
    if replay.at_end:
        return f"{now} of {span}, at its {'broken ' if replay.problem else ''}end"
    return f"{now} of {span}{_speed(replay.speed)}"


def _speed(speed: float) -> str:
    if speed == 1.0:
        return ""
    told = f"{speed:g}" if speed >= 1 else f"1/{1 / speed:g}"
    return f", {told} times as fast" + (" (the most)" if speed in {SLOWEST, FASTEST} else "")
