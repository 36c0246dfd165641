"""Evaluations drawn by ComfyUI servers through their API: any graph, any people, the papers' protocols or one's own."""
