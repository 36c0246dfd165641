"""A browser on the running server: the location-box editor in each frontend and each renderer."""

import os
import shutil
from pathlib import Path

import pytest
from stage import NODE, Stage

BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
PACK = Path(__file__).resolve().parents[2]
READY = f"() => Boolean(window.app?.extensionManager?.setting && window.LiteGraph?.registered_node_types?.{NODE})"

SET = "([name, value]) => app.extensionManager.setting.set(name, value)"
OFFER = "Comfy.Workflow.ShowMissingModelsWarning"


def newer_frontend() -> Path | None:
    """The static folder of a newer comfyui-frontend-package, tested besides the one that the host has installed."""
    named = os.environ.get("REALISID_FRONTEND")
    places = [Path(named)] if named else (PACK / ".dev").glob("frontend-*/comfyui_frontend_package/static")
    return next((place for place in places if (place / "index.html").is_file()), None)


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    sync_api = pytest.importorskip("playwright.sync_api", reason="SKIPPED: the editor's tests need playwright.")
    if executable is None:
        pytest.skip(f"SKIPPED: the editor's tests need a browser, one of {', '.join(BROWSERS)}.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def addresses(server, tmp_path_factory):
    """Where each frontend is served."""
    from realisid_bootstrap import host_path
    from realisid_pack.headless.server import running_server

    newer = newer_frontend()
    if newer is None:
        yield {"installed": server.address}
        return
    home = tmp_path_factory.mktemp("newer")
    with running_server(host_path(), home, "--cpu", "--front-end-root", str(newer)) as second:
        yield {"installed": server.address, "newer": second.address}


def come_up(page) -> None:
    """Wait until the page is loaded, and then for the start-up graph, which arrives a moment later."""
    page.wait_for_function(READY, timeout=60_000)
    page.wait_for_function("app.graph.nodes.length > 0", timeout=60_000)


MODES = [(frontend, renderer) for frontend in ("installed", "newer") for renderer in ("classic", "nodes2")]


@pytest.fixture(scope="session", params=MODES, ids="-".join)
def page(request, browser, addresses):
    """The app, loaded once for all tests of a frontend and renderer. Each test makes the graph that it wants."""
    frontend, renderer = request.param
    if frontend not in addresses:
        pytest.skip(
            "SKIPPED: no newer frontend; unpack its wheel into .dev/frontend-<version> or set REALISID_FRONTEND."
        )
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(f"{error}\n{error.stack}"))
    page.on(
        "console",
        lambda message: message.type == "error" and page.complaints.append(f"{message.text} {message.location}"),
    )
    # A new user is greeted with the template browser, in front of everything.
    greeted = f"{addresses[frontend]}/settings/Comfy.TutorialCompleted"
    page.request.post(greeted, data="true", headers={"Content-Type": "application/json"})
    page.goto(addresses[frontend])
    come_up(page)
    page.evaluate(SET, ["Comfy.VueNodes.Enabled", renderer == "nodes2"])
    page.evaluate(SET, [OFFER, False])  # it comes a moment after a graph, in front of the next test's
    yield page
    page.close()


@pytest.fixture(autouse=True)
def no_complaints(request):
    """Whatever the pack prints as an error fails the test."""
    page = request.getfixturevalue("page") if "page" in request.fixturenames else None
    yield
    if page:
        found = [complaint for complaint in page.complaints if "/extensions/comfyui-realisid/" in complaint]
        page.complaints.clear()
        assert not found


@pytest.fixture
def stage(page) -> Stage:
    return Stage(page)
