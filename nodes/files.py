"""Model files in the host's folders."""

import os

import folder_paths

from .choices import chosen


def add_folder(kind: str, folder: str) -> None:
    """Have the host look for files of this kind in models/FOLDER, and wherever its users say."""
    folder_paths.add_model_folder_path(kind, os.path.join(folder_paths.models_dir, folder))


def listed(kind: str, *endings: str) -> list[str]:
    """What a combo of a loader lists."""
    return folder_paths.filter_files_extensions(folder_paths.get_filename_list(kind), list(endings))


def path_of(name: str, file: str, kind: str, *endings: str) -> str:
    """Where the file is that the input `name` chose.

    Raises:
        ValueError: none of this kind is there, or not this one.
    """
    if not (files := listed(kind, *endings)):
        folder = os.path.basename(folder_paths.get_folder_paths(kind)[0])
        raise ValueError(f"{name}: there is no {' or '.join(endings)} file in models/{folder}. Put one there.")
    return folder_paths.get_full_path_or_raise(kind, chosen(name, file, files))
