"""The pack's nodes: one file a topic, each with a list `NODES`."""

import importlib
import pkgutil

from comfy_api.latest import ComfyExtension, io


class RealisIDExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        topics = sorted(module.name for module in pkgutil.iter_modules(__path__))
        modules = (importlib.import_module(f".{topic}", __name__) for topic in topics)
        return [node for module in modules for node in getattr(module, "NODES", [])]


async def comfy_entrypoint() -> RealisIDExtension:
    return RealisIDExtension()
