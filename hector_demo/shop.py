"""A shop's order book, for the demo's `lookup_order` tool."""

from __future__ import annotations

ORDERS = {
    "A-1042": {"item": "two kilos of coffee beans", "status": "shipped", "arrives": "Thursday"},
    "A-1043": {"item": "a teapot", "status": "being packed", "arrives": "next week"},
}


def lookup_order(number: str) -> dict[str, str]:
    """Finds an order by its number.

    Args:
        number: The order's number, such as A-1042.
    """
    return ORDERS.get(number.upper(), {"status": "unknown", "hint": "Order numbers look like A-1042."})
