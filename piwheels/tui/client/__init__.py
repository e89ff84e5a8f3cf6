"""The console's connection to a master or to a recording, without a user interface."""
