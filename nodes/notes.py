"""What a node has to say of its run, shown on it."""

import html
import logging
from collections.abc import Sequence

from comfy_api.latest import io, ui


def said(node: type[io.ComfyNode], sentences: Sequence[str]) -> dict:
    """Show sentences on the node that runs, and log them; they come back as what the node hands the page ("ui").

    The node's schema has to ask for `io.Hidden.unique_id`. Where nothing is said, nothing comes back.
    """
    if not sentences:
        return {}
    text = "\n".join(sentences)
    title = node.define_schema().display_name  # the class that runs is locked: GET_SCHEMA would write to it
    logging.warning("%s: %s", title, " ".join(sentences))
    if node.hidden is not None and node.hidden.unique_id is not None:
        from server import PromptServer  # which scripts that use the nodes without a server do not have

        if instance := getattr(PromptServer, "instance", None):
            instance.send_progress_text(html.escape(text), node.hidden.unique_id)  # the page takes it for HTML
    return ui.PreviewText(text).as_dict()
