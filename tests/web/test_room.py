"""Where the editor's parts are in a node of any width, and what the page lays over them."""

import pytest

LONG = "Try a photo in which the face is larger, or one in which it looks at the camera: none was found."


class TestRoom:
    def crowd(self, stage, names):
        stage.set([(20 + 240 * (i % 4), 60 + 380 * (i // 4), 180, name) for i, name in enumerate(names)])

    def resize(self, stage, width):
        stage.page.evaluate("width => { node.setSize([width, 680]); app.canvas.setDirty(true, true) }", width)
        stage.frames(8)  # the first Nodes 2.0 makes no node narrower than its first width
        stage.settle()

    def test_eight_people_can_be_told_apart(self, stage):
        self.crowd(stage, ["Ada", "Bo", "Chris", "", "Eve", "", "Grace", "Hans"])
        chips = stage.page.evaluate(
            """() => [...document.querySelectorAll('#tested .rb-chip')].map(chip => {
                const name = chip.querySelector('.rb-chip-name')
                return [chip.innerText.split('\\n').join(' '), name.scrollWidth <= name.clientWidth + 1]
            })"""
        )
        assert [text for text, _ in chips] == ["1 Ada", "2 Bo", "3 Chris", "4", "5 Eve", "6", "7 Grace", "8 Hans"]
        assert all(whole for _, whole in chips), "a name is cut"

    @pytest.mark.parametrize("width", [430, 300, 190])
    def test_nothing_leaves_the_node(self, stage, width):
        self.crowd(stage, ["Ada Lovelace", "Bo", "", "", "", "", "", "Hans"])
        stage.click(100, 120)
        self.resize(stage, width)
        out = stage.page.evaluate(
            """() => {
                const room = document.querySelector('#tested').getBoundingClientRect()
                return [...document.querySelectorAll('#tested :is(button, input, select, .rb-people, .rb-status)')]
                    .filter(e => !e.closest('.rb-stage'))
                    .filter(e => {
                        const { width, left, right, bottom } = e.getBoundingClientRect()
                        const aside = right > room.right + 1 || left < room.left - 1
                        return width && (aside || bottom > room.bottom + 1)
                    })
                    .map(e => e.outerHTML)
            }"""
        )
        assert out == []

    @pytest.mark.parametrize("width", [430, 340, 250])
    def test_the_toolbar_is_one_line(self, stage, width):
        self.resize(stage, width)
        height = stage.locate(".rb-bar").evaluate("bar => bar.offsetHeight")
        assert height <= 26

    @pytest.fixture
    def advice(self, stage):
        """The server answers with advice instead of faces."""
        stage.page.evaluate(
            """text => { const { fetchApi } = app.api
                app.api.fetchApi = async (...given) => given[0] === '/realisid/faces'
                    ? new Response(JSON.stringify({ error: text }), { status: 422 }) : fetchApi.call(app.api, ...given)
            }""",
            LONG,
        )
        yield
        stage.page.evaluate("() => { delete app.api.fetchApi }")

    def test_long_advice_is_shown_whole(self, stage, advice):
        stage.page.evaluate(
            "() => node.onExecuted({ realisid_background: [{ filename: 'x.png', subfolder: '', type: 'temp' }] })"
        )
        stage.locate("[data-action=photo]").click()
        stage.page.wait_for_function("document.querySelector('#tested .rb-status').textContent.startsWith('Try a')")
        status = stage.locate(".rb-status")
        assert status.inner_text() == LONG
        assert status.evaluate("e => e.scrollHeight <= e.clientHeight + 1 && e.scrollWidth <= e.clientWidth + 1")


class TestPanel:
    def test_a_width_written_by_the_pages_panel_does_not_shrink_it(self, stage):
        before = stage.locate("").bounding_box()["width"]
        stage.page.evaluate("() => { node.widgets.find(w => w.name === 'boxes').width = 120 }")
        stage.page.evaluate("() => app.canvas.setDirty(true, true)")
        stage.frames()
        assert stage.locate("").bounding_box()["width"] == pytest.approx(before, abs=1)

    def test_the_panel_itself_leaves_it_as_it_is(self, stage):
        panel = stage.page.get_by_label("Toggle properties panel")
        if not panel.count():
            pytest.skip("This page has no properties panel.")
        before = stage.locate("").bounding_box()["width"]
        stage.page.evaluate("() => app.canvas.selectNode(node)")
        panel.first.click()
        stage.settle()
        panel.first.click()
        stage.settle()
        assert stage.locate("").bounding_box()["width"] == pytest.approx(before, abs=1)

    def test_definitions_loaded_anew_keep_it(self, stage):
        kind = """async () => {
            await app.refreshComboInNodes()
            return LiteGraph.createNode(node.type).widgets.find(widget => widget.name === 'boxes').type
        }"""
        assert stage.page.evaluate(kind) == "REALISID_BOXES"


class TestHover:
    @pytest.fixture
    def at_once(self, page):
        delay = "milliseconds => app.extensionManager.setting.set('LiteGraph.Node.TooltipDelay', milliseconds)"
        page.evaluate(delay, 0)
        yield
        page.evaluate(delay, 500)

    def test_no_text_about_the_format_covers_the_stage(self, stage, at_once):
        stage.page.mouse.move(*stage.at(500, 400))
        stage.frames(8)
        shown = stage.page.get_by_text("JSON").all()
        assert not [text.inner_text() for text in shown if text.is_visible()]
        title = stage.locate(".rb-stage").evaluate("e => e.closest('[title]').title")
        assert title == ""
