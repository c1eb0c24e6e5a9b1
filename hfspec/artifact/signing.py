"""Signatures of artifacts, by the OpenSSF model-signing library with elliptic-curve keys; no network.

A signature is a Sigstore bundle over the digest of every file, the manifest included. It lies beside the artifact, as
the manifest vouches for every file inside, and says nothing of the folder's place.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hfspec.artifact.signing_keys import check_private, check_public
from hfspec.errors import StorageError, UsageError, VerificationError
from hfspec.integrity.left_by_others import LEFT_BY_OTHERS
from hfspec.ir.artifact import MANIFEST_NAME, Manifest

SUFFIX = ".sig"
BUNDLE = "application/vnd.dev.sigstore.bundle"
LARGEST_SIGNATURE = 64 << 20


def signature_path(folder: Path) -> Path:
    """Where the signature of an artifact lies unless it is said: beside it, under its name and .sig."""
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would leave the place of a link
    return place.with_name(f"{place.name}{SUFFIX}")


def write_signature(folder: Path, key: Path, signature: Path, password: str | None) -> None:
    """Sign the artifact in ``folder``, which was verified, with the private key.

    Raises UsageError for a key that cannot sign and a place that must not be written to, StorageError for the disk.
    """
    _check_place(folder, signature)
    with _library():
        from model_signing import signing

        opening: Any = check_private(key, password)  # the library says str, and takes bytes
        signer = signing.Config().set_hashing_config(_everything(folder))
        signer.use_elliptic_key_signer(private_key=key, password=opening)
        try:
            with tempfile.TemporaryDirectory(dir=signature.parent, prefix=f".{signature.name}.") as place:
                signer.sign(folder, Path(place) / "new")
                (Path(place) / "new").replace(signature)
        except OSError as error:
            raise StorageError(
                f"The signature {signature} cannot be written ({error.strerror or error}); choose another --signature."
            ) from error


def check_signature(folder: Path, manifest: Manifest, key: Path, signature: Path) -> None:
    """Raises VerificationError unless the signature is that of the artifact in ``folder``, which was verified, and made
    with the private half of ``key``; UsageError when that is no public key.
    """
    with _library(), tempfile.TemporaryDirectory() as place:
        from model_signing import verifying

        hint = check_public(key)
        content = _read_signature(signature)
        copy = Path(place) / "signature"  # the bytes that are looked into below
        copy.write_bytes(content)
        checker = verifying.Config().set_hashing_config(_everything(folder)).use_elliptic_key_verifier(public_key=key)
        try:
            checker.verify(folder, copy)
            signed = _signed_files(content)
        except Exception as error:  # over a broken bundle the library may raise anything
            raise _refused(signature, _why(content, hint, key)) from error
    if not signed >= {record.path for record in manifest.files} | {MANIFEST_NAME}:
        raise _refused(signature, "it does not cover every file of this artifact; sign it again with `hfspec sign`")


def _refused(signature: Path, why: str) -> VerificationError:
    return VerificationError(f"The signature {signature} does not vouch for this artifact: {why}.", [signature.name])


def _why(content: bytes, hint: str, key: Path) -> str:
    """The likeliest reason, from what the bundle says of itself; it was refused already."""
    try:
        signed_by = json.loads(content)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "it is damaged, or no signature made with a key; fetch it again, or sign again with `hfspec sign`"
    if signed_by != hint:
        return f"it was made with another key than the one that {key} belongs to; give that key, or do not trust it"
    return (
        "it is that of another artifact, of this one before it was compiled anew, or damaged; have whoever holds the"
        " key sign this one"
    )


def _signed_files(content: bytes) -> set[str]:
    payload = base64.b64decode(json.loads(content)["dsseEnvelope"]["payload"])
    return {resource["name"] for resource in json.loads(payload)["predicate"]["resources"]}


def _everything(folder: Path) -> Any:
    """Files of git too, which the library by default leaves unsigned; not what verification lets others leave there."""
    from model_signing import hashing

    foreign = [folder / name for name in sorted(LEFT_BY_OTHERS)]
    return hashing.Config().set_ignored_paths(paths=foreign, ignore_git_paths=False)


def _read_signature(signature: Path) -> bytes:
    try:
        with signature.open("rb") as file:
            return file.read(LARGEST_SIGNATURE)
    except FileNotFoundError as error:
        raise VerificationError(
            f"There is no signature {signature}: name it with --signature, or have the artifact signed with"
            " `hfspec sign`.",
            [signature.name],
        ) from error
    except OSError as error:
        raise StorageError(f"The signature {signature} cannot be read: {error.strerror or error}.") from error


def _check_place(folder: Path, signature: Path) -> None:
    if signature.resolve().is_relative_to(folder.resolve()):
        raise UsageError(
            f"{signature} lies in the artifact, where every file is one of the manifest's; choose another --signature."
        )
    if not os.path.lexists(signature):
        return
    try:
        is_bundle = signature.is_file() and BUNDLE.encode() in signature.read_bytes()[:LARGEST_SIGNATURE]
    except OSError:
        is_bundle = False
    if not is_bundle:
        raise UsageError(f"{signature} is there and no signature; move it away or choose another --signature.")


@contextlib.contextmanager
def _library() -> Iterator[None]:
    """The library prints its warnings; stdout is the command's own."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"signatures need the package {error.name}, which is not installed: pip install 'hfspec[sign]'."
        ) from error
