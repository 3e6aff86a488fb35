"""``python -m secretd`` starts the daemon."""

import sys

from secretd.daemon.main import main

sys.exit(main())
