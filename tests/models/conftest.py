"""What the weights' tests need; fetched once into the data folder, skipped only where nothing can be fetched."""

import pytest

from featlib.data import sources


@pytest.fixture(scope="session")
def need():
    """Have a source at hand."""

    def at_hand(name):
        try:
            sources.fetch(name)
        except sources.DataError as error:
            pytest.skip(str(error))
        return sources.folder(name)

    return at_hand


@pytest.fixture(scope="session")
def twenty(need):
    """The twenty labelled photographs."""
    need("imagenet-samples")
    from featlib.data.photographs import imagenet_samples

    return imagenet_samples()
