"""Which encoder the releases of several domains share; torch is not needed to know it.

Leaves to others: loading it (encoder_service.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from crossrec.errors import ReleaseError, UnknownDomainError
from crossrec.releases.store import ReleaseStore


def encoder_of(domains: Iterable[str], store: ReleaseStore) -> str:
    """Name of the encoder that the domains' current releases share.

    Raises:
        ReleaseError: they were made with different ones.
        UnknownDomainError: a domain has no release.
    """
    releases = [store.show(domain) for domain in domains]
    if not releases:
        raise UnknownDomainError("got no domain to serve; expected at least one with a release")
    first = releases[0].manifest
    for release in releases[1:]:
        if release.manifest.encoder_fingerprint != first.encoder_fingerprint:
            raise ReleaseError(
                f"'{first.domain}' was trained on the encoder {first.encoder}, '{release.domain}'"
                f" on {release.manifest.encoder}: one service shares one encoder; train them on"
                " the same, or serve them apart"
            )
    return first.encoder
