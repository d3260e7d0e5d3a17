"""A real node is asked whatever its own description allows, and does not allow (schemathesis)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.lan.nodes import NodesMixin, environment, free_port, until

PROGRAM = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
NOT_CHECKED = (
    "positive_data_acceptance",  # a text of which nothing is seen is a text, to a schema
    "unsupported_method",  # what is no JSON is refused before it is known where it would go
)
NOT_ASKED = ("/api/v1/events", "/api/v1/stop", "/api/v1/doctor")  # endless, or an end, or slow


class DescriptionTests(NodesMixin, TestCase):
    timeout = 180

    def test_every_answer_is_as_described(self) -> None:
        """Attack 46, too: after all of that the token is in no log."""
        if PROGRAM is None:
            raise self.skipTest("schemathesis is not installed")
        port = free_port()
        node = self.node("node", "--web", str(port))
        token = node.slot / "control.token"
        until(token.exists, "a token")
        url = f"http://127.0.0.1:{port}"
        arguments = ["run", f"{url}/api/v1/openapi.json", "--url", url, "--no-color"]
        arguments += ["--header", f"Authorization: Bearer {token.read_text().strip()}"]
        arguments += ["--phases", "coverage,fuzzing", "--max-examples", "15", "--seed", "1"]
        arguments += ["--exclude-checks", ",".join(NOT_CHECKED)]
        for path in NOT_ASKED:
            arguments += ["--exclude-path", path]
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=node.folder,
            env=environment(node.folder),
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )
        self.assertEqual(done.returncode, 0, done.stdout[-5000:] + done.stderr[-1000:])
        self.assertEqual(node.quit(), 0)
        self.assertNotIn(token.read_text().strip(), node.log + node.output + node.errors)
