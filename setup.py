"""The manual pages and the completions, made from the parsers when a wheel is built.

All else is in setup.cfg. What they need to be loaded is in `requires` of pyproject.toml.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build import build

ROOT = Path(__file__).resolve().parent
COMPLETIONS = {
    "bash": "share/bash-completion/completions/p2pshare",
    "zsh": "share/zsh/site-functions/_p2pshare",
    "fish": "share/fish/vendor_completions.d/p2pshare.fish",
}  # where each shell looks, below the prefix


class BuildWithPages(build):
    """As usual, and what is made from the parsers."""

    def run(self):
        super().run()
        sys.path.insert(0, str(ROOT))
        from twistedp2p.cli.completion import script
        from twistedp2p.cli.manual import pages

        made = {
            f"share/man/man1/{name}": text
            for name, text in pages(self.distribution.get_version()).items()
        }
        made |= {path: script(shell) for shell, path in COMPLETIONS.items()}
        files = []
        for name, text in made.items():
            path = Path(self.build_base) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            files.append((str(Path(name).parent), [str(path)]))
        self.distribution.data_files = files


setup(cmdclass={"build": BuildWithPages})
