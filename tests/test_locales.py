"""The texts of the nodes in each language: complete, served, and in English the nodes' own."""

import json
import re

import pytest
import requests
from conftest import PACK

LANGUAGES = sorted(folder.name for folder in (PACK / "locales").iterdir() if (folder / "nodeDefs.json").is_file())
FOR_VUE_I18N = re.compile(r"[{}@|]")  # begin an interpolation, a link or a plural there


def shipped(language: str) -> dict:
    return json.loads((PACK / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def leaves(texts: dict, path: str = "") -> dict[str, str]:
    """Every text by its path, as in "RealisID_Person.inputs.index.tooltip"."""
    found = {}
    for key, value in texts.items():
        found |= leaves(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: value}
    return found


@pytest.fixture(scope="module")
def own_words(client) -> dict:
    from realisid_pack.locales.build import texts

    return texts(client.nodes())


def test_english_is_what_the_nodes_say(own_words):
    assert shipped("en") == own_words, "python -m locales.build writes it anew"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_a_text_for_everything_and_nothing_else(language, own_words):
    translated = leaves(shipped(language))
    assert translated.keys() == leaves(own_words).keys()
    assert not [path for path, text in translated.items() if not text.strip() or FOR_VUE_I18N.search(text)]


def test_chinese_is_chinese():
    same = {text for path, text in leaves(shipped("zh")).items() if not re.search("[一-鿿]", text)}
    assert same <= {"CLIP", "VAE", "ControlNet"}, "names of parts of ComfyUI stay as they are"


def test_the_server_gives_the_page_every_language(server):
    served = requests.get(f"{server.address}/i18n", timeout=60).json()
    for language in LANGUAGES:
        assert served[language]["nodeDefs"].items() >= shipped(language).items()
