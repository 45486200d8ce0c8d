"""The contract suite: what every connector of a port must do, as tests that anybody can run against their own connector.

How to use it, in the tests of a connector (pytest is needed; a CI system here):

    from cockpit.contract.ci import CiContract, CiWorld

    class TestMyCi(CiContract):
        @pytest.fixture
        def world(self):
            with my_server() as server:
                connector = MyCi(server.url)
                yield CiWorld(connector=connector, service="gateway", run_ids=("3", "2", "1"), forbid=server.forbid, heal=server.heal)
                connector.close()

One module for each port: source, ci, deployment, metrics, alerts, traffic, notifier, reviews, gates; each has a class `XxxContract` with
the tests and a `XxxWorld` with what they need to know: the connector, the names and ids that are there, the moments of the things. The
docstring of the world tells what it must hold. What a system cannot do stays out (None, "" or empty): the tests that need it are skipped,
and say so. Hooks let the system misbehave, `heal` ends that; see `cockpit.contract.common.World`. Worlds may be shared by many tests:
what the tests write has keys and names of its own. A connector with two ports has two test classes. Nothing of the program itself imports
this package.
"""

from __future__ import annotations

import pytest

# so that a failing `assert` in here tells what it compared, as one in the connector's own tests does
for _name in ("common", "source", "ci", "deployment", "metrics", "alerts", "traffic", "notifier", "reviews", "gates"):
    pytest.register_assert_rewrite(f"cockpit.contract.{_name}")
