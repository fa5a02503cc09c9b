"""The names that the configuration, flags and code share. No torch in here."""
