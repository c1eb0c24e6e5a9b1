"""The forms that texts of a spec have, as regular expressions that Python and ECMA-262 read alike."""

from __future__ import annotations

# `$(?!\n)`: Python's `$` also matches before a last newline, ECMA's does not.
END = r"$(?!\n)"
NAME_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,95}}{END}"
REPO_PATTERN = rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,95}}(/[A-Za-z0-9_.-]{{1,96}})?{END}"
PACKAGE_PATTERN = rf"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(/[A-Za-z0-9_.-]+)*{END}"
REVISION_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9_./-]{{0,254}}{END}"
MLFLOW_PATTERN = rf"^(models:/[^/@\s]+((/|@)[^/@\s]+)?|runs:/[0-9A-Za-z]+/[^\s]+){END}"
COMMIT_PATTERN = rf"^[0-9a-f]{{40}}{END}"
# A version by its number, a logged model by its id, what a run logged; a name alone, `latest`, an alias can move.
MLFLOW_VERSION_PATTERN = rf"^(models:/([^/@\s]+/[0-9]+|m-[^/@\s]+)|runs:/.+){END}"
SIZE_PATTERN = rf"^[1-9][0-9]*(\.[0-9]+)?(KB|MB|GB|KiB|MiB|GiB){END}"
DEVICE_PATTERN = rf"^(auto|cpu|mps|cuda(:[0-9]{{1,2}})?){END}"
# Names between slashes, none of them a dot or two.
FOLDER_PATTERN = rf"^(?!\.{{1,2}}(/|{END}))[^/\\\n]+(/(?!\.{{1,2}}(/|{END}))[^/\\\n]+)*{END}"
SHA256_PATTERN = rf"^[0-9a-f]{{64}}{END}"

# The name that a license_policy has for a source that names no licence.
UNDECLARED = "undeclared"
