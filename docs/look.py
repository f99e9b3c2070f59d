"""Check the built documentation in a headless Chromium.

    python docs/look.py docs/_build/html

A page fails if it requests a missing file or logs an error on the console. Pictures must load, and
the search must find BELLPretrainer.
"""

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=20000", "--dump-dom",
]  # fmt: skip
IS_ERROR = re.compile(r"Uncaught|Refused|Failed to load|Error", re.IGNORECASE)


class Handler(SimpleHTTPRequestHandler):
    """Request handler that records paths by status code."""

    def send_response(self, code, message=None):
        """Record the path and respond."""
        self.server.paths[code].append(self.path)
        super().send_response(code, message)

    def log_message(self, *args):
        """Print nothing."""


def main(folder):
    """Print the problems and return their number."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("Expected the program chromium on PATH. Install it with: apt install chromium")
    handler = functools.partial(Handler, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.paths = defaultdict(list)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [path.relative_to(folder).as_posix() for path in sorted(Path(folder).rglob("*.html"))]
    pages = [page for page in pages if not page.startswith(("_static", "generated"))]
    problems = []
    for page in [*pages, "generated/sklearn_bell.BELLPretrainer.html"]:
        query = "?q=BELLPretrainer" if page == "search.html" else ""
        url = f"http://127.0.0.1:{server.server_port}/{page}{query}"
        process = subprocess.run(
            [chromium, *FLAGS, url], capture_output=True, text=True, timeout=120
        )
        messages = re.findall(r"CONSOLE.*?\] (.*)", process.stderr)
        problems += [f"{page}: {message}" for message in messages if IS_ERROR.search(message)]
        if "</html>" not in process.stdout:
            problems.append(f"{page} did not render")
        if query and "generated/sklearn_bell.BELLPretrainer.html" not in process.stdout:
            problems.append("the search does not find BELLPretrainer")
    problems += [f"{path} is missing" for path in server.paths[404] if "favicon" not in path]
    pictures = {path for path in server.paths[200] if path.endswith((".png", ".svg"))}
    if len(pictures) < 10:
        problems.append(f"expected at least 10 pictures, got {len(pictures)}")
    print("\n".join(problems) or f"{len(pages)} pages and {len(pictures)} pictures: no problems")
    return len(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
