"""What holds for all tests."""

import signal

# Where the tests run in the background of a shell, SIGINT is ignored, and every program they start would inherit that;
# some of those are to be ended by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
