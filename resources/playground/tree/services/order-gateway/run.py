#@ since og-api
"""Start the order gateway: python -I -S run.py"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from order_gateway.api import main  # noqa: E402

main()
#@ end
