import gc

import pytest

from utils.runtime.machine.memory import collections_paused


@pytest.mark.parametrize("was_enabled", [True, False])
def test_collections_go_on_as_before_whatever_happens(was_enabled: bool) -> None:
    before = gc.isenabled()
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(KeyError), collections_paused():  # noqa: PT012
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is was_enabled
    finally:
        (gc.enable if before else gc.disable)()
