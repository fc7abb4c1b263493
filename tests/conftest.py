"""What holds for all tests."""

import signal

from hypothesis import settings

# How long an example takes depends on what else the machine does; slow examples end by the limit of the test.
settings.register_profile("bayplan", deadline=None)
settings.load_profile("bayplan")

# Where the tests run in the background of a shell, SIGINT is ignored, and every program they start would inherit that;
# some of those are to be ended by Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
