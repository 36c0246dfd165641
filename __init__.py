"""RealisID for ComfyUI: pictures that show this person, in the box you drew.

The page's files are named in pyproject.toml: `[tool.comfy] web` serves them under the project's name, whatever this
folder is called. A WEB_DIRECTORY would load each of them a second time.
"""

from .nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
