# Copyright (c) 2026 The gofleet.cache authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""serve.py FOLDER: makes a proxy below FOLDER and serves it on loopback for ten minutes; FOLDER/url tells where."""

from __future__ import annotations

import functools
import http.server
import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[4] / "fixtures"))

import goproxy


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files; /refuses/ says 403 to all lists."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""

    def do_GET(self) -> None:
        if self.path.startswith("/refuses/"):
            if self.path.endswith("/@v/list"):
                self.send_error(403)
                return
            self.path = self.path[len("/refuses") :]
        super().do_GET()


def main(folder: str) -> None:
    top = pathlib.Path(folder)
    goproxy.make_proxy(top / "proxy", big=5)
    goproxy.make_proxy(top / "old", [goproxy.make_module("example.com/lib", "v0.1.0")])
    handler = functools.partial(Handler, directory=str(top / "proxy"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if os.fork():
        # The server lives on without this process' output, which Ansible waits for.
        (top / "url").write_text("http://127.0.0.1:%d" % server.server_address[1], encoding="utf-8")
        return
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    (top / "pid").write_text(str(os.getpid()), encoding="utf-8")
    threading.Timer(600, server.shutdown).start()
    server.serve_forever()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
