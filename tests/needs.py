# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What a test needs of its platform: marks for tests and classes, as in `@needs.threads`.

Where it is not to be had, in CPython compiled to WebAssembly, the test is skipped by name with the
reason. Nowhere else do they skip anything: threads that do not start are a failure there. Only
Redis is something that is not everywhere where there is Python.
"""

import importlib.util
import shutil
import sys
import unittest
from typing import Final

IN_WEBASSEMBLY: Final = sys.platform in {"emscripten", "wasi"}

threads = unittest.skipIf(IN_WEBASSEMBLY, "needs threads")
processes = unittest.skipIf(IN_WEBASSEMBLY, "needs processes")
sockets = unittest.skipIf(IN_WEBASSEMBLY, "needs sockets that listen")
asyncio_run = unittest.skipIf(IN_WEBASSEMBLY, "needs asyncio.run")
broken_pipes = unittest.skipIf(IN_WEBASSEMBLY, "needs pipes that notice that nobody reads them")
redis = unittest.skipUnless(
    not IN_WEBASSEMBLY and shutil.which("redis-server") and importlib.util.find_spec("redis"),
    "needs redis-server on the PATH and the Python package redis",
)
