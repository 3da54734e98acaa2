"""The values put in last."""

from attachfs.recent import Recent


def test_the_values_set_last_are_held_and_the_oldest_go() -> None:
    """Setting one again makes it the newest; a look does not."""
    evicted: list[tuple[str, int]] = []
    recent: Recent[str, int] = Recent(2, on_evict=lambda key, value: evicted.append((key, value)))
    recent["a"] = 1
    recent["b"] = 2
    recent["a"] = 3
    assert recent.get("b") == 2
    recent["c"] = 4
    assert recent == {"a": 3, "c": 4}
    assert evicted == [("b", 2)]
