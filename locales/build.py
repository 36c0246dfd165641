"""Writes locales/en from what the nodes say of themselves: `python -m locales.build`, in the pack's folder.

locales/zh is written by hand, with the same keys; tests/test_locales.py compares both with the nodes.
"""

import json
import tempfile
from pathlib import Path

ENGLISH = Path(__file__).parent / "en" / "nodeDefs.json"


def texts(described: dict[str, dict]) -> dict[str, dict]:
    """ComfyUI's nodeDefs translations of this pack's nodes, in the nodes' own words.

    `described` is the server's /object_info: every node, also those of others.
    """
    return {name: _node(node) for name, node in sorted(described.items()) if name.startswith("RealisID_")}


def _node(node: dict) -> dict:
    inputs = {**node["input"].get("required", {}), **node["input"].get("optional", {})}
    outputs = zip(node["output_name"], node["output_tooltips"], strict=True)
    return {
        "display_name": node["display_name"],
        "description": node["description"],
        "inputs": {name: {"name": name, "tooltip": spec[1]["tooltip"]} for name, spec in inputs.items()},
        "outputs": {str(i): {"name": name, "tooltip": tooltip} for i, (name, tooltip) in enumerate(outputs)},
    }


def main() -> None:
    from headless.client import Client
    from headless.server import running_server
    from realisid_core.bootstrap import host_path

    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        english = texts(Client(server.address).nodes())
    ENGLISH.write_text(json.dumps(english, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
