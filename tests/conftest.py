"""What all tests share."""

import jaxtyping
import pytest


@pytest.fixture
def as_users_run():
    """Switch off the checks of shapes and types that only run in tests, to see the error that a user would get."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
