"""RealisID (AAAI 2025) on ComfyUI: everything of substance; knows torch and comfy, never the nodes."""
