"""What goes wrong in a way the user can do something about."""


class FeelforwardError(Exception):
    """Base of every failure shown to a user. The message is one clear sentence:

    what, what was found, what is allowed, and what to do.
    """
