"""For all tests: what they start can be interrupted, however they were started themselves."""

import signal

# A shell ignores these for what it starts in the background, and so would every child; a handler,
# even one that does nothing, is not inherited.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)
