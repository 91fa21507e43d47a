# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""What the benchmarks write with `--json`, and the comparison of two such files."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from . import PACKAGE, needs


def measured(version: str, **tables: tuple[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "format": 1,
        "versions": {"axon_events": version, "CPython": "3.11.7 on x86_64"},
        "tables": [
            {"title": title, "unit": unit, "figures": figures}
            for title, (unit, figures) in tables.items()
        ],
        "aims": {"met": [], "missed": []},
    }


@unittest.skipIf(PACKAGE != "axon_events", "a copy of the tests has no benchmarks")
class Compare(unittest.TestCase):
    def run_on(self, *files: object) -> tuple[str, str]:
        from benchmarks import compare  # here, since a copy of the tests has no benchmarks

        folder = self.folder_of(tempfile.TemporaryDirectory())
        paths = []
        for n, content in enumerate(files):
            paths.append(str(Path(folder, f"{n}.json")))
            Path(paths[-1]).write_text(json.dumps(content), "utf-8")
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch("sys.argv", ["compare", *paths]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            contextlib.suppress(SystemExit),
        ):
            compare.main()
        return out.getvalue(), err.getvalue()

    def folder_of(self, folder: "tempfile.TemporaryDirectory[str]") -> str:
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_a_gain_is_what_the_peers_do_not_share(self) -> None:
        before = measured("0.1.0", encode=("ns", {"axon_events": 100, "msgspec": 50, "json": 400}))
        # The machine is twice as slow; this package took half of the time that it would have.
        after = measured("0.2.0", encode=("ns", {"axon_events": 100, "msgspec": 100, "json": 800}))
        out, _ = self.run_on(before, after)
        self.assertEqual(
            [line for line in out.splitlines() if "encode" in line],
            ["| encode, ns |    100 |   100 |  1.00 |  2.00 |         0.50 |"],
        )
        self.assertTrue(out.startswith("- axon_events: 0.1.0, then 0.2.0\n"))
        self.assertNotIn("CPython", out)

    def test_of_bytes_a_second_more_is_a_gain(self) -> None:
        before = measured("1", decode=("MB/s", {"axon_events": 40.0, "httpx-sse": 20.0}))
        after = measured("1", decode=("MB/s", {"axon_events": 80.0, "httpx-sse": 20.0}))
        out, _ = self.run_on(before, after)
        self.assertIn("|     40 |    80 |  0.50 |  1.00 |         0.50 |", out)

    def test_what_only_one_has_is_named(self) -> None:
        before = measured("1", growth=("times", {"axon_events": 1.25}), old=("ns", {"a": 1}))
        after = measured("1", growth=("times", {"axon_events": 1.5}), new=("ns", {"a": 1}))
        out, _ = self.run_on(before, after)
        self.assertIn("| growth, times |   1.25 |   1.5 |  1.20 |       |         1.20 |", out)
        self.assertTrue(out.endswith("- only after: new\n- only before: old\n"), out)

    def test_another_file_is_wrong_usage(self) -> None:
        contents: list[object] = [[], {"format": 2}]
        for content in contents:
            _, err = self.run_on(content, measured("1"))
            self.assertIn("0.json: expected a file that `python -m benchmarks --json`", err)

    @needs.processes
    def test_a_race_is_written_as_it_is_printed(self) -> None:
        from benchmarks import compare, race

        folder = self.folder_of(tempfile.TemporaryDirectory())
        with (
            mock.patch.object(race, "_tables", []),
            mock.patch.object(race, "_versions", {}),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            race.print_versions([])
            race.compare("encode", "ns", {"a": 2e-9, "b": 1e-9}, {}, lambda seconds: seconds * 1e9)
            race.write(Path(folder, "run.json"))
        run = compare.load(Path(folder, "run.json"))
        self.assertEqual(
            run["tables"], [{"title": "encode", "unit": "ns", "figures": {"a": 2.0, "b": 1.0}}]
        )
        self.assertIn("axon_events", run["versions"])


if __name__ == "__main__":
    unittest.main()
