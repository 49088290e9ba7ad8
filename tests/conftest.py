"""What all tests share."""

import os

# before torch is imported: two workers with two threads each on two cores wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest


@pytest.fixture
def as_users_run():
    """Switch off the checks of shapes and types that only run in tests, to see the error that a user would get."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
