"""`python -m numi_bypass` is the command `numi-bypass`."""

import sys

from numi_bypass.cli import main

sys.exit(main())
