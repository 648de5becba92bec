"""What starts and ends the processes of the tests; settings and fixtures are in `everywhere.py`."""

import atexit
import os
import sys

import pytest


def pytest_configure(config):
    """Import torch, 2 s, except where pytest-xdist leaves all tests to its workers."""
    if config.getoption("dist", "no") == "no":
        config.pluginmanager.import_plugin("everywhere")


def pytest_sessionfinish(session, exitstatus):
    if not hasattr(session.config, "workerinput"):  # a worker still has to report
        session.config.exit_with = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Exit with the tests' status, whatever libraries do when the interpreter shuts down.

    A worker, which still has to report, skips that too: it takes 2.5 s.
    """
    if hasattr(config, "exit_with"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.exit_with)
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)
