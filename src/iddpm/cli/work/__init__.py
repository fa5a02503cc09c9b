"""What the commands do: the half of each that needs torch, a file a command, loaded once its words are read."""
