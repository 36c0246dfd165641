"""ComfyUI from a script: start a server that has this pack, queue workflows, fetch what comes out."""
