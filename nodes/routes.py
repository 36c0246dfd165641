"""What the pack adds to the host's HTTP server."""

import sys

from . import own_files, photo_faces


def serve() -> None:
    """Add the pack's routes to the host's server, once: with two copies of the pack installed, the first one answers.

    A script that imports the pack without a server has nothing to add them to.
    """
    host = getattr(sys.modules.get("server"), "PromptServer", None)
    if server := getattr(host, "instance", None):
        present = {getattr(route, "path", None) for route in server.routes}
        for route in (*own_files.ROUTES, *photo_faces.ROUTES):
            if route.path not in present:
                server.routes.route(route.method, route.path)(route.handler)
