"""Encryption at rest, with the keys of `HECTOR_ENCRYPTION_KEYS`: the first encrypts, all of them decrypt.

A text is encrypted for a context (whose it is, what it is called) and decrypts in that context only, so a row that is
copied to another owner is worthless there. The keys should be random: they are stretched to Fernet's size, not
hardened as a password would have to be.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class CannotDecrypt(Exception):
    """What is stored was encrypted with a key that HECTOR_ENCRYPTION_KEYS does not list, or was tampered with."""

    code = "cannot_decrypt"

    def __init__(self, context: str) -> None:
        super().__init__(f"cannot decrypt {context}: is the key that encrypted it still in HECTOR_ENCRYPTION_KEYS?")


def encrypt(text: str, *, context: str) -> str:
    return _cipher(context).encrypt(text.encode()).decode()


def decrypt(ciphertext: str, *, context: str) -> str:
    """Raises CannotDecrypt."""
    try:
        return _cipher(context).decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise CannotDecrypt(context) from None


def _cipher(context: str) -> MultiFernet:
    keys = [key.strip() for key in settings.HECTOR_ENCRYPTION_KEYS if key.strip()]
    return MultiFernet([Fernet(_derived(key, context)) for key in keys])


def _derived(key: str, context: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=b"hector", info=context.encode())
    return urlsafe_b64encode(derivation.derive(key.encode()))
