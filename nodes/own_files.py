"""Help pages and templates where the page looks for them, whatever the pack's folder is called.

The editor itself is served under the fixed name in pyproject.toml. The page asks for help under the folder's name up to
its first dot or `@`, and for templates under the whole name; the host serves neither where that name has to be escaped
in an address (a space, a letter that is not ASCII).
"""

from pathlib import Path

from aiohttp import web

PACK = Path(__file__).parent.parent  # unresolved: a linked pack goes by its link's name
HELP = "/extensions/{folder}/docs/{file:(RealisID_|images/).+}"
TEMPLATES = "/workflow_templates/{folder}/{file}"  # the host adds /api


async def help_page(request: web.Request) -> web.StreamResponse:
    """A page or picture of one of our nodes. Their ids are ours alone, so the folder need not be looked at."""
    return _sent(PACK / "web" / "docs", request.match_info["file"])


async def template(request: web.Request) -> web.StreamResponse:
    if request.match_info["folder"] != PACK.name:
        raise web.HTTPNotFound
    return _sent(PACK / "workflows", request.match_info["file"])


def _sent(folder: Path, name: str) -> web.FileResponse:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(file)


ROUTES = web.get(HELP, help_page), web.get(TEMPLATES, template)
