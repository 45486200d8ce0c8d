"""What its makers check of each release. The way of the old interface is not among it: that is how a break gets out."""

from fastapi.testclient import TestClient
from service import app


def test_it_answers() -> None:
    assert TestClient(app).get("/summary").status_code == 200


def test_an_order_rests_in_the_book() -> None:
    client = TestClient(app)
    order = {
        "order_id": "1",
        "trader_id": "t",
        "side": "BUY",
        "size": 1,
        "timestamp": "2026-01-01T00:00:00",
        "price": 10,
        "order_type": "limit",
    }
    assert client.post("/place", json={"orders": [order]}).status_code in (200, 201, 422)
    assert client.get("/orders").status_code == 200


def test_metrics_name_the_operation() -> None:
    client = TestClient(app)
    client.get("/summary")
    assert 'operation="summary"' in client.get("/metrics/").text
