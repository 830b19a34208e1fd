"""Secrets at rest."""

import pytest

from minefarm.lib.sealing import Unreadable, seal, unseal


def test_a_sealed_secret_is_read_again_and_never_looks_the_same():
    first, second = seal("whsec_1", purpose="webhook"), seal("whsec_1", purpose="webhook")
    assert "whsec_1" not in first
    assert first != second
    assert unseal(first, purpose="webhook") == "whsec_1"


def test_a_new_key_still_reads_what_the_old_one_sealed(settings):
    sealed = seal("seed", purpose="totp")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-" * 4
    assert unseal(sealed, purpose="totp") == "seed"


def test_a_lost_key_and_a_foreign_purpose_are_named(settings):
    sealed = seal("seed", purpose="totp")
    with pytest.raises(Unreadable, match="SECRET_KEY_FALLBACKS"):
        unseal(sealed, purpose="webhook")
    settings.SECRET_KEY = "another-key-" * 4
    with pytest.raises(Unreadable):
        unseal(sealed, purpose="totp")
