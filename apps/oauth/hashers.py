"""Client secrets are 128 random characters: one round is as safe as a million, and takes no time.

A person's password is never hashed with it: it is the last in PASSWORD_HASHERS.
"""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class RandomSecretHasher(PBKDF2PasswordHasher):
    """For secrets with at least 256 random bits, and for nothing else."""

    algorithm = "pbkdf2_sha256_once"
    iterations = 1
