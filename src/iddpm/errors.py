"""What a user did wrong, as one line that names the thing, its value and the way out."""


class UserError(ValueError):
    """A mistake that the user can mend. The command line prints its text alone and exits with code 2."""


class DivergedError(RuntimeError):
    """Training met a value that is not finite; the text is the diagnosis. The command line exits with code 1."""
