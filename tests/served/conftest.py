"""A service for all tests of a module, which each leave as fit as they found it."""

import pytest

from tests.served.serving import Served, make_world


@pytest.fixture(scope="module")
def served(memory):
    with Served(make_world(memory / "world")) as service:
        yield service
    assert service.process.returncode == 0
    assert "Traceback" not in service.stderr


@pytest.fixture(autouse=True)
def hung_up(request):
    """No test leaves a client behind."""
    yield
    if "served" in request.fixturenames:
        request.getfixturevalue("served").hang_up()
