"""The soak of benchmarks/serving, for some seconds."""

from benchmarks.serving import soak

KINDS = ("valid", "lines", "invalid", "oversized", "slow", "abandoned", "late")


def test_under_mixed_requests_and_two_kills_no_answer_is_wrong_and_none_is_lost(artifact):
    found = soak.run(artifact("bert-sentiment"), 8, clients=6)
    assert (found.wrong, found.lost) == ([], [])
    assert (found.killed, found.restarts) == (2, 2)
    assert {name.partition(":")[0] for name in found.statuses} == set(KINDS)


def test_answers_are_compared_to_the_rounding():
    wanted = [{"label": "good", "score": 0.5}]
    assert soak.alike([{"label": "good", "score": 0.50001}], wanted)
    for other in ([{"label": "bad", "score": 0.5}], [{"label": "good", "score": 0.51}], [], None, [{"label": "good"}]):
        assert not soak.alike(other, wanted)
