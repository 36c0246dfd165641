"""The editor speaks the language that the page is set to."""

import re

import pytest
from conftest import PACK

TEXTS = """() => {
    const root = document.querySelector('#tested')
    const texts = [...root.querySelectorAll('*')].flatMap(e => [
        ...[...e.childNodes].filter(child => child.nodeType === 3).map(child => child.textContent),
        ...['title', 'aria-label', 'aria-description', 'placeholder', 'label', 'alt']
            .map(name => e.getAttribute(name) ?? ''),
    ])
    return [...new Set(texts.map(text => text.trim()))]
}"""
PEOPLE = """async () => {
    const { bindings } = await import('/extensions/comfyui-realisid/boxes_binding.js')
    const persons = [1, 2].map(number => ({ number, face: location.href, pose: [[0, 0, 9, 9]] }))
    ;[...bindings].find(binding => binding.node === node).editor.showPersons(persons)
}"""
NOT_WORDS = re.compile(r"Ctrl\+|Shift|Tab|Enter|Delete|Escape|Ada|^[XY\d\s/.×:,]*$")


def speak(page, language: str) -> None:
    """Set the page's language. It loads its definitions anew, and then the graph with other nodes."""
    page.evaluate(
        """language => {
            app.graph.add(window.spokenTo = LiteGraph.createNode('Note'))
            app.extensionManager.setting.set('Comfy.Locale', language)
        }""",
        language,
    )
    page.wait_for_function("() => !app.graph.nodes.includes(spokenTo)")


@pytest.fixture
def chinese(page):
    speak(page, "zh")
    yield
    speak(page, "en")


def test_chinese_has_no_english_left(chinese, stage):
    stage.set([(100, 100, 200, "Ada"), (600, 400, 100)])
    stage.click(650, 450)
    stage.page.mouse.click(*stage.at(650, 450), button="right")
    menu = stage.page.locator(".realisid-menu button span").all_inner_texts()
    stage.press("Escape")
    stage.page.mouse.click(*stage.at(900, 100), button="right")
    menu += stage.page.locator(".realisid-menu button span").all_inner_texts()
    stage.press("Escape")
    stage.page.evaluate(PEOPLE)
    assert stage.locate(".rb-face").count() == 2
    texts = [NOT_WORDS.sub("", text) for text in [*stage.page.evaluate(TEXTS), *menu]]
    assert [text for text in texts if re.search("[A-Za-z]{2,}", text)] == []
    assert any("人物" in text for text in texts)
    stage.set("{oops")
    assert "人脸框不是 JSON" in stage.says()


def inputs(page: str) -> list[str]:
    """The names that the page's lists begin with, as in "- `width`, `height`: ..."."""
    firsts = re.findall(r"^- (`.*?)(?::|\uff1a|\uff08| \()", page, re.M)
    return [name for first in firsts for name in re.findall("`([^`]+)`", first)]


def test_every_help_page_is_there_in_chinese():
    docs = PACK / "web" / "docs"
    for page in sorted(docs.glob("*.md")):
        chinese = docs / page.stem / "zh.md"
        assert chinese.is_file(), f"{page.name} has no Chinese page"
        text = chinese.read_text(encoding="utf-8")
        english = page.read_text(encoding="utf-8")
        assert re.findall(r"!\[[^]]*]\(([^)]*)\)", text) == re.findall(r"!\[[^]]*]\(([^)]*)\)", english)
        assert inputs(text) == inputs(english), page.name
        assert text.count("\n## ") == english.count("\n## ")
        assert len(re.findall("[一-鿿]", text)) > 100
