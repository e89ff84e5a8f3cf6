"""The state that the console shows, computed without terminal or network."""
