"""The work of the commands: the half of each that needs torch, a file a command, loaded once its words are read."""
