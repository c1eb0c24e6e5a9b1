"""Who vouches for an artifact: signed with a key, refused for everybody else's."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import hfspec

PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def private_pem(key, password=None):
    guard = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, guard)


@pytest.fixture
def keys(tmp_path):
    """``keys(name, curve, password)``: the paths of a new key and of its public half."""

    def make(name="key", curve=None, password=None):
        key = ec.generate_private_key(curve or ec.SECP256R1())
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        private.write_bytes(private_pem(key, password))
        public.write_bytes(key.public_key().public_bytes(PEM, SPKI))
        return private, public

    return make


@pytest.fixture
def signed(artifact, keys):
    """A signed artifact and the public key."""
    private, public = keys()
    assert hfspec.sign(artifact, private) == artifact.with_name("artifact.sig")
    return artifact, public


def refused(match, *arguments, **options):
    with pytest.raises(hfspec.VerificationError, match=match) as caught:
        hfspec.verify(*arguments, **options)
    return caught.value


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_signed_and_verified_wherever_it_is_moved(curve, artifact, keys):
    private, public = keys(curve=curve)
    before = hfspec.verify(artifact)
    signature = hfspec.sign(artifact, str(private))
    assert hfspec.verify(artifact, key=str(public)) == before, "the artifact is as it was"
    artifact.rename(artifact.with_name("elsewhere"))
    signature.rename(signature.with_name("elsewhere.sig"))
    assert hfspec.verify(artifact.with_name("elsewhere"), key=public) == before


def test_a_signature_anywhere(artifact, keys, tmp_path, monkeypatch):
    private, public = keys()
    place = tmp_path / "a b.json"
    assert hfspec.sign(artifact, private, signature=place) == place
    assert hfspec.verify(artifact, key=public, signature=place)
    monkeypatch.chdir(artifact)
    assert hfspec.sign(".", private) == artifact.with_name("artifact.sig")
    assert hfspec.verify(".", key=public)


def test_what_a_registry_of_mlflow_leaves_in_the_folder_is_no_part_of_it(signed, keys):
    artifact, public = signed
    (artifact / "registered_model_meta").write_text("model_name: film\nmodel_version: '1'\n")
    assert hfspec.verify(artifact, key=public)
    private, public = keys("later")
    hfspec.sign(artifact, private)
    (artifact / "registered_model_meta").unlink()
    assert hfspec.verify(artifact, key=public)


def test_other_tools_of_the_library_accept_it(signed):
    from model_signing import verifying

    artifact, public = signed
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(artifact, artifact.with_name("artifact.sig"))


def test_another_key(signed, keys):
    error = refused(
        "was made with another key than the one that .*other.pub belongs to", signed[0], key=keys("other")[1]
    )
    assert error.files == ("artifact.sig",)


def test_a_signature_that_claims_to_be_of_this_key(signed, keys):
    """The name of the key in a bundle is no part of what is signed."""
    artifact, public = signed
    place = artifact.with_name("artifact.sig")
    mine = json.loads(place.read_bytes())["verificationMaterial"]
    hfspec.sign(artifact, keys("other")[0])
    place.write_text(json.dumps({**json.loads(place.read_bytes()), "verificationMaterial": mine}))
    refused("does not vouch for this artifact", artifact, key=public)


def test_no_signature(artifact, keys):
    _, public = keys()
    assert refused("There is no signature .*artifact.sig: name it", artifact, key=public).files == ("artifact.sig",)


def test_a_signature_of_another_artifact(signed, copied):
    artifact, public = signed
    other = copied("gpt2")
    place = artifact.with_name("artifact.sig")
    refused("is that of another artifact", other, key=public, signature=place)


def test_an_artifact_compiled_anew(signed, spec_for):
    artifact, public = signed
    hfspec.compile(spec_for("bert-sentiment"), output=artifact, overrides=["dtype=float16"])
    assert hfspec.verify(artifact)
    refused("before it was compiled anew", artifact, key=public)


def test_a_changed_file_is_named_before_the_signature_is_looked_at(signed):
    artifact, public = signed
    (artifact / "LICENSE").write_text("mine")
    assert refused("LICENSE", artifact, key=public).files == ("LICENSE",)


def test_a_changed_signature(signed):
    """Wherever a bit of it is flipped, the answer is no or the same signature, and never another error."""
    artifact, public = signed
    place = artifact.with_name("artifact.sig")
    content = place.read_bytes()
    payload = content.index(b'"payload":"') + 11
    for at in [
        *range(0, payload, 41),
        *range(payload, payload + 400, 101),
        *range(len(content) - 120, len(content), 13),
    ]:
        damaged = bytearray(content)
        damaged[at] ^= 1
        place.write_bytes(damaged)
        with contextlib.suppress(hfspec.VerificationError):
            hfspec.verify(artifact, key=public)
            assert signed_bytes(damaged) == signed_bytes(content)


def signed_bytes(bundle):
    envelope = json.loads(bundle)["dsseEnvelope"]
    return [base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"verificationMaterial": {"publicKey": {}}}']
)
def test_what_is_no_signature(content, signed):
    artifact, public = signed
    artifact.with_name("artifact.sig").write_bytes(content)
    refused("it is damaged, or no signature", artifact, key=public)


def test_a_signature_that_leaves_files_out(artifact, keys):
    """The library can sign a part of a folder; that is no word for the rest."""
    from model_signing import hashing, signing

    private, public = keys()
    part = hashing.Config().set_ignored_paths(paths=["model"], ignore_git_paths=False)
    config = signing.Config().set_hashing_config(part).use_elliptic_key_signer(private_key=private)
    config.sign(artifact, artifact.with_name("artifact.sig"))
    refused("does not cover every file", artifact, key=public)


def test_what_is_damaged_is_not_signed(artifact, keys):
    (artifact / "LICENSE").write_text("mine")
    with pytest.raises(hfspec.VerificationError, match="LICENSE"):
        hfspec.sign(artifact, keys()[0])
    assert not artifact.with_name("artifact.sig").exists()


def other_keys(tmp_path):
    rsa_key = rsa.generate_private_key(65537, 2048)
    odd = ec.generate_private_key(ec.SECP256K1())
    contents = {
        "rsa": (private_pem(rsa_key), rsa_key.public_key().public_bytes(PEM, SPKI), "not a key on one of the curves"),
        "curve": (private_pem(odd), odd.public_key().public_bytes(PEM, SPKI), "not a key on one of the curves"),
        "text": (b"my secret", b"my secret", "not a (private|public) key in PEM form"),
        "empty": (b"", b"", "not a (private|public) key in PEM form"),
    }
    for name, (private, public, message) in contents.items():
        (tmp_path / name).write_bytes(private)
        (tmp_path / f"{name}.pub").write_bytes(public)
        yield tmp_path / name, tmp_path / f"{name}.pub", message


def test_keys_that_cannot_sign_or_verify(signed, tmp_path):
    artifact, _ = signed
    for private, public, message in other_keys(tmp_path):
        with pytest.raises(hfspec.UsageError, match=message) as caught:
            hfspec.sign(artifact, private)
        assert "secret" not in str(caught.value)
        with pytest.raises(hfspec.UsageError, match=message):
            hfspec.verify(artifact, key=public)
    with pytest.raises(hfspec.UsageError, match="nowhere cannot be read: No such file"):
        hfspec.sign(artifact, tmp_path / "nowhere")


def test_a_key_for_the_other_purpose(artifact, keys):
    private, public = keys()
    with pytest.raises(hfspec.UsageError, match=r"key\.pub is not a private key"):
        hfspec.sign(artifact, public)
    hfspec.sign(artifact, private)
    with pytest.raises(hfspec.UsageError, match=r"key\.pem is a private key, which is for signing"):
        hfspec.verify(artifact, key=private)


def test_a_password(artifact, keys):
    private, public = keys(password="open sésame")
    with pytest.raises(
        hfspec.UsageError, match="is protected by a password; put it into the environment as HFSPEC_KEY"
    ):
        hfspec.sign(artifact, private)
    with pytest.raises(hfspec.UsageError, match="is protected by another password") as caught:
        hfspec.sign(artifact, private, password="wrong secret")
    assert "wrong secret" not in str(caught.value)
    hfspec.sign(artifact, private, password="open sésame")
    assert hfspec.verify(artifact, key=public)
    open_key, public = keys("open")
    assert hfspec.sign(artifact, open_key, password="not needed")
    assert hfspec.verify(artifact, key=public)


def test_places_that_are_not_written_to(artifact, keys, tmp_path, permissions_enforced):
    private, _ = keys()
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "closed").mkdir(mode=0o555)
    places = [
        (artifact / "artifact.sig", hfspec.UsageError, "lies in the artifact"),
        (tmp_path / "thesis.txt", hfspec.UsageError, "is there and no signature"),
        (tmp_path, hfspec.UsageError, "is there and no signature"),
        (tmp_path / "nowhere" / "x.sig", hfspec.StorageError, "No such file"),
        (tmp_path / "closed" / "x.sig", hfspec.StorageError, "Permission denied"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for place, error, message in places:
        with pytest.raises(error, match=message):
            hfspec.sign(artifact, private, signature=place)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hfspec", *map(str, arguments)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_on_the_command_line(artifact, keys):
    private, public = keys(password="sesame")
    done = command("sign", artifact, "--key", private, HFSPEC_KEY_PASSWORD="sesame")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{artifact}.sig\n", "")
    done = command("verify", artifact, "--key", public)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith(f"signed with the key of {public}")
    done = command("verify", artifact, "--key", keys("other")[1])
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"hfspec: The signature {artifact}.sig does not vouch for this artifact: ")
    assert "Traceback" not in done.stderr
    done = command("sign", artifact, "--key", private)
    assert (done.returncode, done.stdout) == (2, "")
    assert "HFSPEC_KEY_PASSWORD" in done.stderr


def test_nothing_of_it_is_imported_unless_asked_for(artifact):
    script = "import sys, hfspec; hfspec.verify(sys.argv[1]); print('model_signing' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, artifact], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_where_the_library_is_not_installed(artifact, keys):
    private, _ = keys()
    script = f"""
import sys
sys.modules["model_signing"] = None
import hfspec
try:
    hfspec.sign({str(artifact)!r}, {str(private)!r})
except hfspec.UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'hfspec[sign]'" in done.stdout
    assert not Path(f"{artifact}.sig").exists()
