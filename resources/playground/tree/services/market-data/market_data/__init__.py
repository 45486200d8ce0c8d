"""Takes quotes and trades of many instruments and publishes them."""
