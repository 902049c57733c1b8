"""Runs a command that makes one change at CRM_LOSSY_URL, where the first reply is lost, and checks how often it asked."""

from __future__ import annotations

import os
import subprocess
import sys

from lost_reply import losing_the_first_reply

with losing_the_first_reply(os.environ["CRM_URL"]) as (lossy, replies):
    code = subprocess.call(sys.argv[1:], env={**os.environ, "CRM_LOSSY_URL": lossy})
if code == 0 and replies != [201, 409, 200]:
    sys.exit(f"the change, its repetition and the reading were answered {replies}")
sys.exit(code)
