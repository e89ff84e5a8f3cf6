"""A new alert rings once: the bell, a notification, the title; each can be off."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from piwheels.model import Alert, AlertRule, Severity
from piwheels.tui.settings import RingSettings
from piwheels.tui.terminal.alert_signals import BELL, SAVE_TITLE, AlertSignals

AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
XTERM = {"TERM": "xterm-256color"}


def alert(subject: str, **facts: object) -> Alert:
    known = {"severity": Severity.CRITICAL, "since": AT, "text": "no signal"}
    return Alert(
        alert_id=f"lost:{subject}",
        rule=AlertRule.LOST,
        subject=subject,
        **(known | facts),  # type: ignore[arg-type]
    )


class Ring:
    """Signals, and what they wrote since it was last read."""

    def __init__(
        self, environ: dict[str, str] = XTERM, settings: RingSettings | None = None
    ) -> None:
        self._written: list[str] = []
        self.signals = AlertSignals(settings or RingSettings(), self._written.append, environ)

    def after(self, *alerts: Alert) -> list[str]:
        self.signals.update(alerts)
        written, self._written[:] = list(self._written), []
        return written


def title(text: str) -> str:
    return f"\x1b]2;piwheels: {text}\a"


def test_alerts_that_stood_at_connecting_do_not_ring() -> None:
    assert Ring().after(alert("pi1")) == [f"{SAVE_TITLE}{title('1 alert, 1 critical')}"]


def test_a_new_alert_rings_once_until_it_is_another() -> None:
    ring = Ring()
    ring.after()
    assert ring.after(alert("pi1")) == [
        BELL, "\x1b]9;piwheels: lost: pi1: no signal\a", title("1 alert, 1 critical"),
    ]  # fmt: skip
    assert ring.after(alert("pi1", text="still no signal")) == []
    assert ring.after(alert("pi1", acknowledged_by="ada")) == [title("no alerts")]
    assert ring.after(alert("pi1")) == [title("1 alert, 1 critical")], "it has rung before"
    assert ring.after(alert("pi1", cleared_at=AT)) == [title("no alerts")]
    again = alert("pi1", since=AT + timedelta(hours=1))
    assert ring.after(again)[0] == BELL


def test_several_new_alerts_ring_once_together() -> None:
    ring = Ring()
    ring.after()
    bell, notification, _ = ring.after(*(alert(f"pi{number}") for number in range(9)))
    assert bell == BELL
    assert notification == "\x1b]9;piwheels: 9 new alerts, lost: pi0: no signal\a"


@pytest.mark.parametrize("quiet", [{"acknowledged_by": "ada"}, {"muted_until": AT}])
def test_what_was_seen_or_muted_does_not_ring(quiet: dict[str, object]) -> None:
    ring = Ring(settings=RingSettings(title=False))
    ring.after()
    assert ring.after(replace(alert("pi1"), **quiet)) == []


@pytest.mark.parametrize(
    ("off", "expected"),
    [
        ({"bell": False}, ["\x1b]9", "\x1b]2"]),
        ({"notification": False}, [BELL, "\x1b]2"]),
        ({"title": False}, [BELL, "\x1b]9"]),
        ({"bell": False, "notification": False, "title": False}, []),
    ],
)
def test_each_signal_can_be_off(off: dict[str, bool], expected: list[str]) -> None:
    ring = Ring(settings=RingSettings(**off))
    ring.after()
    assert [sequence[: len(start)] for sequence, start in zip(
        ring.after(alert("pi1")), expected, strict=True
    )] == expected  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "notification"),
    [
        ({"TERM": "foot"}, "\x1b]777;notify;piwheels;lost: pi1: no signal\a"),
        ({"TERM": "rxvt-unicode"}, "\x1b]777;notify;piwheels;lost: pi1: no signal\a"),
        (
            {"TERM": "xterm-256color", "VTE_VERSION": "7200"},
            "\x1b]777;notify;piwheels;lost: pi1: no signal\a",
        ),
        ({"TERM": "xterm-kitty"}, "\x1b]9;piwheels: lost: pi1: no signal\a"),
    ],
)
def test_a_terminal_gets_the_notification_that_it_shows(
    environ: dict[str, str], notification: str
) -> None:
    ring = Ring(environ)
    ring.after()
    assert ring.after(alert("pi1"))[1] == notification


def test_a_console_of_linux_gets_the_bell_alone() -> None:
    ring = Ring({"TERM": "linux"})
    assert ring.after() == []
    assert ring.after(alert("pi1")) == [BELL]


def test_untrusted_texts_end_no_sequence() -> None:
    ring = Ring()
    ring.after()
    evil = alert("pi1", text="\x1b\\\x07\x9c;4;1;\u202eevil" + "x" * 999)
    notification = ring.after(evil)[1]
    assert notification.startswith("\x1b]9;piwheels: ")
    assert notification[2:-1].isprintable()
    assert notification.count(";") == 1
    assert len(notification) < 200
