"""The buttons of the mouse, by the numbers of Textual's events."""

RIGHT_BUTTON = 3
