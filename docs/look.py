"""Open the built documentation in a headless Chromium, and see whether all is well.

    python docs/look.py docs/_build/html

No page may ask for what is not there or print an error on the console, pictures have to load, and
the search has to find BELLPretrainer.
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
    """Keeps account of what is asked for."""

    def send_response(self, code, message=None):
        """Answer, and remember what was asked for."""
        self.server.answers[code].append(self.path)
        super().send_response(code, message)

    def log_message(self, *args):
        """Print nothing."""


def main(folder):
    """Print what is wrong, and return how much it is."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("There is no Chromium: apt install chromium")
    handler = functools.partial(Handler, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.answers = defaultdict(list)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [path.relative_to(folder).as_posix() for path in sorted(Path(folder).rglob("*.html"))]
    pages = [page for page in pages if not page.startswith(("_static", "generated"))]
    wrong = []
    for page in [*pages, "generated/sklearn_bell.BELLPretrainer.html"]:
        query = "?q=BELLPretrainer" if page == "search.html" else ""
        url = f"http://127.0.0.1:{server.server_port}/{page}{query}"
        shown = subprocess.run([chromium, *FLAGS, url], capture_output=True, text=True, timeout=120)
        said = re.findall(r"CONSOLE.*?\] (.*)", shown.stderr)
        wrong += [f"{page}: {one}" for one in said if IS_ERROR.search(one)]
        if "</html>" not in shown.stdout:
            wrong.append(f"{page} was not shown")
        if query and "generated/sklearn_bell.BELLPretrainer.html" not in shown.stdout:
            wrong.append("the search does not find BELLPretrainer")
    wrong += [f"{path} is not there" for path in server.answers[404] if "favicon" not in path]
    pictures = {path for path in server.answers[200] if path.endswith((".png", ".svg"))}
    if len(pictures) < 10:
        wrong.append(f"only {len(pictures)} pictures were loaded")
    print("\n".join(wrong) or f"{len(pages)} pages and {len(pictures)} pictures are well")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) > 0)
