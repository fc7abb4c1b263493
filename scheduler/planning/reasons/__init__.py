"""Why a workload waits, in the terms of whoever asked, and what would unblock it."""
