"""Start market data: python -I -S run.py"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from market_data.api import main  # noqa: E402

main()
