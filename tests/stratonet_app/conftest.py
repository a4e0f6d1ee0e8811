"""The app without a server: what asks it is a client in the same process."""

import pytest
from app_plates import write_plate

pytest.importorskip("starlette", reason="the app needs stratonet[app]")


@pytest.fixture(scope="session")
def helper():
    """The process that reads folders and images: it takes seconds to begin."""
    from stratonet_app.apart import Helper

    helper = Helper()
    yield helper
    helper.close()


@pytest.fixture
def desk(tmp_path, helper):
    from stratonet_app.desk import Desk

    return Desk(tmp_path, helper)


@pytest.fixture
def addresses():
    """What was announced, to be opened in another browser."""
    return []


@pytest.fixture
def keys(addresses):
    from stratonet_app.guard import Keys

    return Keys(8765, addresses.append)


@pytest.fixture
def stranger(desk, keys):
    """A client without a key."""
    from starlette.testclient import TestClient

    from stratonet_app.server import make_app

    return TestClient(make_app(desk, keys), keys.origin)


@pytest.fixture
def client(stranger, keys):
    """The browser that was opened."""
    assert stranger.get(keys.address).status_code == 200
    # Where all pages are, from now on.
    stranger.base_url = f"{keys.origin}{keys.home}"
    stranger.headers["Origin"] = keys.origin
    return stranger


@pytest.fixture
def plate(tmp_path):
    return write_plate(tmp_path)


@pytest.fixture
def draft(client, keys, plate):
    """The address of a run that is being chosen."""
    answer = client.post("/choose", data={"path": str(plate)})
    assert answer.status_code == 200, answer.text
    # The client adds the secret beginning itself.
    return answer.url.path.removeprefix(keys.home).removesuffix("/images")
