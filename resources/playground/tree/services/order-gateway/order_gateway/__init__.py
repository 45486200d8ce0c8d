"""Takes orders for one instrument and matches them."""
