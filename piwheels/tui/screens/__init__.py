"""The screens, dialogs and bars of the console."""
