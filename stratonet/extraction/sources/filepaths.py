"""Absolute locations of files that a table names by folder and name, or by URL."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import cache

import pandas as pd

from stratonet.files.urls import is_url, is_web_url, to_local_path


class FileLocator:
    """Makes absolute paths and URLs of the files that a table names.

    Parameters
    ----------
    base : str
        Folder or URL to which paths are relative.
    replace : sequence of (str, str)
        Pairs of the beginning of a path and its replacement. The first pair that fits
        is used.
    """

    def __init__(self, base: str, replace: Sequence[tuple[str, str]]) -> None:
        self.base = base if is_url(base) else os.path.abspath(base)
        self.replace = []
        for old, new in replace:
            old_folder = _make_slashes(to_local_path(old)).rstrip("/")
            self.replace.append((old_folder, new.rstrip("/\\")))
        # Computed once per folder: a table names thousands of files in a few folders.
        self._find_folder = cache(self._compute_folder)

    def locate_files(
        self, table: pd.DataFrame, columns: Mapping[str, str]
    ) -> pd.Series:
        """Locate the files of one channel.

        Parameters
        ----------
        table : pandas.DataFrame (n rows)
            As it was read.
        columns : mapping of str to str
            The columns that name the files: any of ``URL``, ``PathName`` and
            ``FileName`` to the name of the column in the table.

        Returns
        -------
        pandas.Series (n rows)
            Absolute paths or URLs; None where no file is named.
        """
        urls = _read_texts(table, columns.get("URL"))
        folders = _read_texts(table, columns.get("PathName"))
        files = _read_texts(table, columns.get("FileName"))
        located = list(map(self._locate_file, urls, folders, files))
        return pd.Series(located, table.index, dtype=object)

    def _locate_file(self, url: str, folder: str, file: str) -> str | None:
        if not (url or file):
            return None
        # A shortcut for nearly all rows: thousands of files in one folder.
        if not url and "/" not in file:
            return self._join_name(self._find_folder(folder), file)
        # As in LoadData, a URL has priority where it is filled in.
        if url:
            path = _normalize_slashes(to_local_path(url))
        else:
            path = posixpath.join(folder, file)
        head, slash, name = path.rpartition("/")
        full_folder = self._find_folder(head + slash)
        return full_folder + name if url else self._join_name(full_folder, name)

    def _join_name(self, folder: str, name: str) -> str:
        # In a file's name, a ? does not begin a query.
        if "?" in name and is_web_url(folder):
            name = name.replace("?", "%3F")
        return folder + name

    def _compute_folder(self, text: str) -> str:
        """Compute the absolute path or URL of a folder, with a slash at its end."""
        # Joining with an empty name adds the slash at the end.
        folder = posixpath.join(_normalize_slashes(to_local_path(text)), "")
        folder = self._replace_beginning(folder)
        # A Windows path is absolute on every system.
        if is_url(folder) or _WINDOWS.match(folder):
            return folder
        if is_url(self.base) and not os.path.isabs(folder):
            # normpath would turn the two slashes after the scheme into one.
            scheme, _, base_path = self.base.partition("://")
            joined = posixpath.normpath(posixpath.join(base_path, folder))
            return f"{scheme}://{joined}/"
        absolute = os.path.abspath(os.path.join(self.base, folder))
        return os.path.join(absolute, "")

    def _replace_beginning(self, folder: str) -> str:
        path = _make_slashes(folder)
        for old, new in self.replace:
            # Compared with the slash, so that /home/b does not match /home/b2.
            beginning = path[: len(old) + 1]
            if _WINDOWS.match(f"{old}/"):
                # Windows ignores the case of letters.
                is_same = beginning.lower() == f"{old}/".lower()
            else:
                is_same = beginning == f"{old}/"
            if is_same:
                return new + path[len(old) :]
        return folder


def _read_texts(table: pd.DataFrame, column: str | None) -> list[str]:
    """Read the texts of a column; empty where there is no text, or no such column."""
    if column is None:
        return [""] * len(table)
    return [text if isinstance(text, str) else "" for text in table[column]]


# C:\Data, c:/Data, and \\server\share.
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\|//[^/]")


def _normalize_slashes(path: str) -> str:
    """Write a Windows path with forward slashes; return other paths as they are.

    In a relative path, a backslash may be part of a name: if there is no such file,
    `stratonet.files.spelling` tries it as a slash.
    """
    return _make_slashes(path) if _WINDOWS.match(path) else path


def _make_slashes(path: str) -> str:
    """Replace backslashes in a path by slashes."""
    # Windows marks long paths with this prefix.
    path = re.sub(
        r"^\\\\\?\\(UNC(?=\\))?", lambda match: "\\" if match[1] else "", path
    )
    if "\\" not in path:
        return path
    # Programs may write doubled backslashes, for another program to read: two count as
    # one, except at the start of a path.
    return re.sub(r"(?<=.)/{2,}", "/", path.replace("\\", "/"))
